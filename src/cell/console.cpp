// SPDX-License-Identifier: Apache-2.0
#include "cell/console.h"

#include "base/os/standard_streams.h"

namespace cloister::cell {
namespace {

constexpr std::byte kEscape{1};  // Ctrl-A

}  // namespace

void StandardOutput::write(std::span<const std::byte> bytes) {
  MutexLock lock(mutex_);
  os::write_standard_output(bytes);
}

std::vector<std::byte> EscapeFilter::pass(std::span<const std::byte> typed,
                                          const std::function<void(Command)>& command) {
  std::vector<std::byte> to_guest;
  for (const std::byte key : typed) {
    if (!escaped_) {
      escaped_ = key == kEscape;
      if (!escaped_) to_guest.push_back(key);
      continue;
    }
    escaped_ = false;
    switch (static_cast<char>(key)) {
      case 'x':
        command(Command::kQuit);
        break;
      case 'h':
        command(Command::kHelp);
        break;
      default:
        to_guest.push_back(kEscape);
        if (key != kEscape) to_guest.push_back(key);
    }
  }
  return to_guest;
}

}  // namespace cloister::cell
