// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/units.h"

namespace cloister::os {

// By how much the host may let the calling thread's sleeps last longer, to wake several threads at once.
// The host's default is 50 microseconds; a guest's timers want less.
void set_timer_slack(Nanos slack);

}  // namespace cloister::os
