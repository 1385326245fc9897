// SPDX-License-Identifier: Apache-2.0
#include "base/os/entropy.h"

#include <sys/random.h>

#include <cerrno>

#include "base/check.h"

namespace cloister::os {

void fill_random(std::span<std::byte> to) {
  while (!to.empty()) {
    const ssize_t got = ::getrandom(to.data(), to.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    CHECK(got > 0);
    to = to.subspan(static_cast<std::size_t>(got));
  }
}

u64 random_number() {
  u64 number = 0;
  fill_random(std::as_writable_bytes(std::span(&number, 1)));
  return number;
}

}  // namespace cloister::os
