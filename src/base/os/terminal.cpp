// SPDX-License-Identifier: Apache-2.0
#include "base/os/terminal.h"

#include <sys/ioctl.h>
#include <termios.h>

namespace cloister::os {

struct RawTerminal::Saved {
  termios settings;
};

RawTerminal::RawTerminal(int fd) : fd_(fd) {
  termios settings;
  if (tcgetattr(fd, &settings) != 0) return;
  saved_ = std::make_unique<Saved>(Saved{settings});
  cfmakeraw(&settings);
  settings.c_oflag |= OPOST;  // our own messages keep their line ends
  tcsetattr(fd, TCSADRAIN, &settings);
}

RawTerminal::~RawTerminal() {
  if (saved_ != nullptr) tcsetattr(fd_, TCSADRAIN, &saved_->settings);
}

std::optional<WindowSize> window_size(int fd) {
  winsize size{};
  if (::ioctl(fd, TIOCGWINSZ, &size) != 0) return std::nullopt;
  return WindowSize{size.ws_row, size.ws_col};
}

}  // namespace cloister::os
