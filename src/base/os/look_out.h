// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <thread>

#include "base/os/clock.h"
#include "base/units.h"

namespace cloister::os {

// Until `come()`, or until `end` by the monotonic clock; others have the CPU meanwhile. For what comes within
// microseconds: a sleep and its end take several times as long, and who calls somebody that is awake has no
// call into the host to make.
template <typename Come>
void look_out(Nanos end, Come come) {
  while (!come() && monotonic_now() < end) std::this_thread::yield();
}

}  // namespace cloister::os
