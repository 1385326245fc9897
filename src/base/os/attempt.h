// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <utility>
#include <variant>

#include "base/check.h"

namespace cloister::os {

// The host's error number, as a value; 0 means success. For servers that pass numbers on to a guest, where a
// message for a person (Error) would be of no use.
struct [[nodiscard]] Errno {
  int number = 0;

  bool ok() const { return number == 0; }
};

// A T, or the number of the error that stood in its way.
template <typename T>
class [[nodiscard]] Attempt {
 public:
  // NOLINTNEXTLINE(google-explicit-constructor): `return value;` is what callers write.
  Attempt(T value) : content_(std::in_place_index<0>, std::move(value)) {}
  // NOLINTNEXTLINE(google-explicit-constructor): likewise for a failure. Precondition: !failure.ok().
  Attempt(Errno failure) : content_(std::in_place_index<1>, failure) { CHECK(!failure.ok()); }

  bool ok() const { return content_.index() == 0; }
  Errno failure() const { return ok() ? Errno{} : *std::get_if<1>(&content_); }

  // Precondition: ok().
  T& operator*() {
    CHECK(ok());
    return *std::get_if<0>(&content_);
  }
  const T& operator*() const {
    CHECK(ok());
    return *std::get_if<0>(&content_);
  }
  T* operator->() { return &**this; }
  const T* operator->() const { return &**this; }
  T take() { return std::move(**this); }

 private:
  std::variant<T, Errno> content_;
};

}  // namespace cloister::os
