// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/units.h"

namespace cloister::os {

Nanos monotonic_now();  // since some moment before the program began; never steps back
Nanos realtime_now();   // since 1970-01-01 00:00 UTC; steps when the host's clock is set
Nanos thread_time();    // of a CPU, that this thread has had

}  // namespace cloister::os
