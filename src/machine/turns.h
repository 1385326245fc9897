// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "base/random.h"
#include "machine/board.h"
#include "machine/clock.h"

namespace cloister::machine {

// Gives a board's harts their turns on the caller's thread. The same board, clock and randomness give the
// same turns. Precondition: `clock` is the board's.
class Turns {
 public:
  // Instructions of a turn, drawn between these.
  struct Lengths {
    u64 shortest = 100;
    u64 longest = 20'000;
  };
  // `usual`, or such that a hart is stopped all the time, where the board is under that stress.
  static Lengths lengths_for(const Board& board, Lengths usual) {
    return board.stress().slices ? Lengths{1, 200} : usual;
  }

  Turns(Board& board, VirtualClock& clock, Random& random, Lengths lengths)
      : board_(board), clock_(clock), random_(random), lengths_(lengths), waiting_(board.harts().count()) {}

  // One turn for each hart that has something to do; when none has, the time jumps ahead.
  // Precondition: the power is on.
  void round();

  // A turn as it was, for people.
  struct Turn {
    u64 hart;
    Nanos began;  // since power-on
    u64 budget;   // instructions
    u64 executed;
    hart::Exit exit;
  };
  const std::vector<Turn>& last_round() const { return last_round_; }

 private:
  bool each_hart_once();
  bool turn(u32 id);
  void slice(HartSlot& slot);
  u64 budget(const HartSlot& slot);
  void skip_ahead();
  u64 next_timer();

  Board& board_;
  VirtualClock& clock_;
  Random& random_;
  const Lengths lengths_;
  std::vector<bool> waiting_;  // in WFI
  std::vector<Turn> last_round_;
};

}  // namespace cloister::machine
