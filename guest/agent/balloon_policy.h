// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "agent/signs.h"

namespace cloister::agent {

// What the host wants: bytes in the balloon, and bytes a second at most (0: as fast as it can). And what
// comes of it where it does not get that: bytes of this machine a second that it reads back from its own
// swap.
struct Wish {
  std::uint64_t target = 0;
  std::uint64_t rate = 0;
  std::uint64_t read_back = 0;
};

// What the balloon may be: `most` in all, and by how much it may grow now without meeting a limit of the
// program's own.
struct Bounds {
  std::uint64_t most = 0;
  std::uint64_t room = UINT64_MAX;
};

// The numbers of the control loop; docs/guest-abi.md tells how they were chosen.
struct Band {
  std::uint64_t hysteresis = 2 << 20;  // bytes; a smaller difference is left alone
  std::uint64_t hold_off = 5000;       // milliseconds without growth after giving way, at first
  std::uint64_t longest_hold_off = 80'000;
  std::uint64_t stall_give = 150;     // thousandths of the time that tasks wait for memory: give way
  std::uint64_t stall_hold = 50;      // do not grow
  std::uint64_t dearness = 4;         // a page that the guest reads back, to one that the host does
  std::uint64_t few_missed = 256;     // the part of memory missed in a second that is little: grow
  std::uint64_t many_missed = 64;     // that is much: give way
  std::uint64_t window = 250;         // milliseconds over which rates are taken, at least
  std::uint64_t step = 64 << 20;      // bytes at a time, then the signs are looked at again
  std::uint64_t cache_part = 32;      // the part of memory in a window, where it is not free yet
  std::uint64_t burst = 512;          // KiB a millisecond: how fast a guest may eat what is available
  std::uint64_t reaction = 60;        // milliseconds until what is given now is there to be used, at worst
  std::uint64_t longest_look = 1000;  // milliseconds between two looks while there is something to guard
  std::uint64_t shortest_look = 20;
};

struct Step {
  std::uint64_t grow = 0;    // bytes; at most one of the two is not 0
  std::uint64_t shrink = 0;  // bytes
  std::uint32_t reason = 0;  // CLOISTER_BALLOON_*, once the step is done
  std::uint64_t next = 0;    // milliseconds until the next glance
};

// The balloon's own control loop: pure, its time is that of the signs. Called in order of time.
class BalloonPolicy {
 public:
  explicit BalloonPolicy(const Band& band = {}) : band_(band) {}

  // At each look.
  Step decide(const Signs& signs, const Wish& wish, const Bounds& bounds, std::uint64_t held);

  // Between two looks, at what is free: milliseconds until the next glance. 0: a look is due now.
  std::uint64_t glance(std::uint64_t time, std::uint64_t free);
  // Whether the look at this time wants new counts.
  bool wants_counts(std::uint64_t time) const;

 private:
  struct Rates {
    std::uint64_t stall = 0;      // thousandths
    std::uint64_t thrashing = 0;  // bytes a second, swapped out or read back
    std::uint64_t missed = 0;     // bytes a second
  };

  void measure(const Signs& signs);
  std::uint64_t danger_at(std::uint64_t time, std::uint64_t available) const;
  std::uint64_t give_way(const Signs& signs, const Wish& wish, std::uint64_t held) const;
  void hold_off(std::uint64_t time);
  bool suffers(const Signs& signs, const Wish& wish) const;
  std::uint64_t room_above(const Signs& signs, const Wish& wish) const;
  std::uint64_t wait_with(std::uint64_t spare) const;
  Step grow(const Signs& signs, const Wish& wish, std::uint64_t missing);

  Band band_;
  Rates rates_;
  Signs base_;             // where the window begins
  bool has_base_ = false;  // else with the next counts
  Signs last_;             // kept up with by glances
  bool begun_ = false;
  std::uint64_t danger_ = 0;  // bytes that may be lost before anything can be done about it
  std::uint64_t due_ = 0;     // the next look, whatever glances say
  std::uint64_t quiet_until_ = 0;
  std::uint64_t hold_off_ = 0;
  std::uint64_t grown_at_ = 0;
  bool has_grown_ = false;  // since it gave way last
};

}  // namespace cloister::agent
