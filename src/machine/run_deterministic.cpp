// SPDX-License-Identifier: Apache-2.0
#include "machine/run_deterministic.h"

#include "machine/turns.h"

namespace cloister::machine {

void run_deterministic(Board& board, VirtualClock& clock, Random& random) {
  Turns turns(board, clock, random, Turns::lengths_for(board, {}));
  while (board.power().on()) turns.round();
  board.after_slice();
}

}  // namespace cloister::machine
