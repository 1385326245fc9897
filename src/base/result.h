// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>

#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "base/check.h"

namespace cloister {

// The world's failure: a file that is missing, a port that is taken, a key that nobody knows.
// The message is for a person and names the thing, the value and the remedy.
struct Error {
  std::string message;
};

template <typename... Args>
Error error(fmt::format_string<Args...> format, Args&&... args) {
  return Error{fmt::format(format, std::forward<Args>(args)...)};
}

// A T, or the Error that stood in its way. A guest's mistake is not an Error but a value (a trap, a
// device status); our own mistake is a CHECK.
template <typename T>
class [[nodiscard]] Result {
 public:
  using Value = T;

  // NOLINTNEXTLINE(google-explicit-constructor): `return value;` is what callers write.
  Result(T value) : content_(std::in_place_index<0>, std::move(value)) {}
  // NOLINTNEXTLINE(google-explicit-constructor): likewise `return error(…);`.
  Result(Error failure) : content_(std::in_place_index<1>, std::move(failure)) {}

  bool ok() const { return content_.index() == 0; }
  explicit operator bool() const { return ok(); }

  // Precondition: ok().
  T& value() {
    CHECK(ok());
    return *std::get_if<0>(&content_);
  }
  const T& value() const {
    CHECK(ok());
    return *std::get_if<0>(&content_);
  }
  T& operator*() { return value(); }
  const T& operator*() const { return value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }
  T take() { return std::move(value()); }

  // Precondition: !ok().
  const Error& failure() const {
    CHECK(!ok());
    return *std::get_if<1>(&content_);
  }

 private:
  std::variant<T, Error> content_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  using Value = void;

  Result() = default;
  // NOLINTNEXTLINE(google-explicit-constructor): `return error(…);` is what callers write.
  Result(Error failure) : failure_(std::move(failure)) {}

  bool ok() const { return !failure_.has_value(); }
  explicit operator bool() const { return ok(); }
  void take() { CHECK(ok()); }

  // Precondition: !ok().
  const Error& failure() const {
    CHECK(!ok());
    return *failure_;
  }

 private:
  std::optional<Error> failure_;
};

}  // namespace cloister

// The value of a Result, or return its Error from the enclosing function. May be nested.
#define TRY(expression) CLOISTER_TRY_NUMBERED(expression, __COUNTER__)
#define CLOISTER_TRY_NUMBERED(expression, number) CLOISTER_TRY_JOINED(expression, number)
#define CLOISTER_TRY_JOINED(expression, number) CLOISTER_TRY_NAMED(expression, try_result_##number)
#define CLOISTER_TRY_NAMED(expression, result)                    \
  __extension__({                                                 \
    auto result = (expression);                                   \
    if (!result.ok()) return ::cloister::Error(result.failure()); \
    result.take();                                                \
  })
