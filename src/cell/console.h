// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <functional>
#include <span>
#include <vector>

#include "base/lock.h"
#include "device/console_sink.h"

namespace cloister::cell {

// The guest's output on standard output, in whole writes. When nobody reads there any more (a closed pipe)
// it is dropped and the guest goes on.
class StandardOutput final : public device::ConsoleSink {
 public:
  void write(std::span<const std::byte> bytes) override;

 private:
  Mutex mutex_{LockRank::kLog};  // Lock rank: innermost, any device writes under its own lock
};

// What a person may mean by keys after the escape, Ctrl-A.
enum class Command { kQuit, kHelp };

// Takes the escape out of what is typed: Ctrl-A x ends the machine, Ctrl-A h helps, Ctrl-A Ctrl-A is one
// Ctrl-A for the guest, and Ctrl-A before anything else goes to the guest as typed. Not thread safe.
class EscapeFilter {
 public:
  // The bytes for the guest; `command` is called for each escape, in order.
  std::vector<std::byte> pass(std::span<const std::byte> typed, const std::function<void(Command)>& command);

 private:
  bool escaped_ = false;
};

}  // namespace cloister::cell
