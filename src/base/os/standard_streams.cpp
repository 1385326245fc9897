// SPDX-License-Identifier: Apache-2.0
#include "base/os/standard_streams.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>

namespace cloister::os {
namespace {

constexpr int kStandardOutput = 1;

// Somebody may have made the descriptor non-blocking: a pipe is shared with its other users.
void wait_until_writable(int fd) {
  pollfd wait{.fd = fd, .events = POLLOUT, .revents = 0};
  poll(&wait, 1, -1);
}

}  // namespace

void write_standard_output(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(kStandardOutput, bytes.data(), bytes.size());
    if (count >= 0) {
      bytes = bytes.subspan(static_cast<std::size_t>(count));
    } else if (errno == EAGAIN) {
      wait_until_writable(kStandardOutput);
    } else if (errno != EINTR) {
      return;
    }
  }
}

std::size_t read_standard_input(std::span<std::byte> to) {
  for (;;) {
    const ssize_t count = ::read(kStandardInput, to.data(), to.size());
    if (count >= 0) return static_cast<std::size_t>(count);
    if (errno != EINTR) return 0;
  }
}

}  // namespace cloister::os
