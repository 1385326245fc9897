// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>

#include "base/units.h"

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

struct WindowSize {
  u32 rows = 0;
  u32 columns = 0;
  bool operator==(const WindowSize&) const = default;
};
// Of the terminal behind a descriptor; nothing where it is none.
std::optional<WindowSize> window_size(int fd);

}  // namespace cloister::os
