// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

namespace cloister::os {

// Puts the terminal behind a descriptor into raw mode (each key at once, no echo, no signals by keys), and
// back on destruction. Does nothing where the descriptor is no terminal.
class RawTerminal {
 public:
  explicit RawTerminal(int fd);
  ~RawTerminal();
  RawTerminal(const RawTerminal&) = delete;
  RawTerminal& operator=(const RawTerminal&) = delete;

 private:
  struct Saved;
  int fd_;
  std::unique_ptr<Saved> saved_;
};

}  // namespace cloister::os
