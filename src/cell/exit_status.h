// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "machine/machine.h"

namespace cloister::cell {

// How `cloister run` and `cloister-cell` end (docs/cloister.1.md has the same table).
enum ExitStatus : int {
  kPoweredOff = 0,  // the guest powered itself off
  kGuestFailed =
      1,            // the guest ended itself and reported a failure (SRST reason 1), or stopped all its harts
  kRefused = 2,     // bad input: nothing was started
  kHostFailed = 3,  // the host's fault, after the start
  kRebooted = 4,    // the guest wanted to reboot, as after a panic with panic=-1, and on-reboot is stop
  kStopped = 130,   // stopped from outside: the console's escape, SIGINT, SIGTERM
};

ExitStatus exit_status_of(machine::End end);

}  // namespace cloister::cell
