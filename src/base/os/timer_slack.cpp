// SPDX-License-Identifier: Apache-2.0
#include "base/os/timer_slack.h"

#include <sys/prctl.h>

namespace cloister::os {

// Without the right to (a sandbox's filter), sleeps are only less exact.
void set_timer_slack(Nanos slack) { (void)prctl(PR_SET_TIMERSLACK, slack.raw, 0, 0, 0); }

}  // namespace cloister::os
