// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <utility>

#include "base/result.h"
#include "base/units.h"

namespace cloister::os {

// Owns one file descriptor. Move-only; closes it at the end.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int raw) : raw_(raw) {}
  Fd(Fd&& other) noexcept : raw_(other.release()) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) {
      close();
      raw_ = other.release();
    }
    return *this;
  }
  ~Fd() { close(); }

  int get() const { return raw_; }
  bool valid() const { return raw_ >= 0; }
  int release() { return std::exchange(raw_, -1); }
  void close();
  // Another descriptor of the same file; invalid when this is, or when the process has none left.
  Fd duplicate() const;

 private:
  int raw_ = -1;
};

// Whether the descriptor, not its file, allows writing.
Result<bool> is_writable(const Fd& fd);
// Of the file behind it.
Result<Bytes> size_of(const Fd& fd);

}  // namespace cloister::os
