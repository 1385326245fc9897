// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "base/random.h"
#include "machine/board.h"
#include "machine/clock.h"

namespace cloister::machine {

// One of two machines that must go the same way. The clock is the board's.
struct Twin {
  Board& board;
  VirtualClock& clock;
  Random& random;
};

// Runs both from power-on until the power of `tested` goes off, and compares them all along. Returns what
// differs first and the turns in which it came to that, for a person to read; nothing when nothing does, or
// when `tested` was stopped from outside. The same boot files and seeds are assumed.
std::string run_verified(Twin tested, Twin reference);

}  // namespace cloister::machine
