// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/random.h"
#include "machine/board.h"
#include "machine/clock.h"

namespace cloister::machine {

// Runs the harts in turn on the caller's thread until the board's power goes off. The same board, clock and
// randomness give the same run. Precondition: `clock` is the board's.
void run_deterministic(Board& board, VirtualClock& clock, Random& random);

}  // namespace cloister::machine
