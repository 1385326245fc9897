// SPDX-License-Identifier: Apache-2.0
#include "base/os/clock.h"

#include <time.h>

#include "base/check.h"

namespace cloister::os {
namespace {

Nanos read_clock(clockid_t clock) {
  timespec now{};
  CHECK(::clock_gettime(clock, &now) == 0);
  return {static_cast<u64>(now.tv_sec) * 1'000'000'000 + static_cast<u64>(now.tv_nsec)};
}

}  // namespace

Nanos monotonic_now() { return read_clock(CLOCK_MONOTONIC); }
Nanos realtime_now() { return read_clock(CLOCK_REALTIME); }
Nanos thread_time() { return read_clock(CLOCK_THREAD_CPUTIME_ID); }

}  // namespace cloister::os
