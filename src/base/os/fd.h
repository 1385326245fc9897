// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <utility>

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

 private:
  int raw_ = -1;
};

}  // namespace cloister::os
