// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>

namespace cloister::device {

// The host's side of a console: takes what the guest prints (UART, virtio console, SBI debug console).
class ConsoleSink {
 public:
  virtual ~ConsoleSink() = default;
  // Any thread, several at once. May block for a while when a person's terminal is slow, not for ever.
  virtual void write(std::span<const std::byte> bytes) = 0;
};

}  // namespace cloister::device
