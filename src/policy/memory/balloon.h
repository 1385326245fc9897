// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <optional>
#include <span>
#include <vector>

#include "base/units.h"
#include "policy/memory/fraction.h"
#include "policy/memory/tax.h"

// How much a guest's balloon applications are to hold together, and each of them. Source: US 8,756,397, claim
// 1: where the condition of memory leaves its band, what is allocated is adjusted.
namespace cloister::policy::memory {

// The largest part of a machine that a balloon takes: its kernel needs the rest to live.
inline constexpr Fraction kLargestBalloon = Fraction::percent(65);

// How much a second a balloon is to grow where nobody waits for it: the whole machine in 16 seconds, for the
// guest's kernel finds what is idle while its programs go on. 64 MiB at least.
constexpr Units unhurried(Units configured) { return std::max(Units{configured.raw / 16}, Units{16'384}); }

// One balloon application, as it told of itself.
struct BalloonApplication {
  Units most{};         // that it could ever give
  bool yields = false;  // its guest's memory pressure keeps it from more
};

// What each is to hold of `total`: by what they could give, one that yields counting a quarter; nobody more
// than it can; together `total`, or all that they can.
std::vector<Units> share_balloon(Units total, std::span<const BalloonApplication> applications);

// What tells how the guest bears its balloon.
struct BalloonSigns {
  u32 pressure = 0;                // tasks that wait for memory, some/avg10, in hundredths of a per cent
  u64 page_out_rate = 0;           // balloon pages that the guest writes to its own swap, a second
  u64 page_in_rate = 0;            // pages of any kind that it reads back from there, a second
  std::optional<Units> available;  // what its programs can still get; nothing: not known
  bool can_swap = false;           // it has swap that is not nearly full: what is available says nothing
  bool is_read_back = false;       // the host reads much back of what it took without the guest's help
};

// Whether swap of that size, with so much of it free, still takes what the guest has to put away.
constexpr bool has_room_to_swap(u64 total, u64 free) { return total != 0 && free > total / 8; }

// Above the upper bounds the balloon shrinks, below the lower ones it may grow, between them it stays.
struct BalloonBand {
  u32 low_pressure = 200, high_pressure = 1000;
  u64 low_paging = 16, high_paging = 256;  // page-outs and page-ins, each
  Fraction least_available = Fraction::percent(2), enough_available = Fraction::percent(5);  // of the machine
  Nanos hold_off{5'000'000'000};   // after it shrank it does not grow for so long
  Nanos step_time{1'000'000'000};  // from one shrinking step to the next
};

// Closes the loop of one machine. Not thread safe; `now` never steps back.
class BalloonLoop {
 public:
  explicit BalloonLoop(Units configured, BalloonBand band = {}) : configured_(configured), band_(band) {}

  // What the applications are to hold now. `wanted` is the host's wish: where it falls, the answer falls at
  // once.
  Units decide(Units wanted, Units held, const BalloonSigns& signs, Nanos now);
  // Whether the guest's pressure keeps the balloon below the wish.
  bool yields() const { return yielding_; }

 private:
  enum class Place : u8 { kBelow, kWithin, kAbove };
  Place place_of(const BalloonSigns& signs) const;

  const Units configured_;
  const BalloonBand band_;
  Units allowed_{};
  bool yielding_ = false;
  Nanos next_step_{};    // not smaller before
  Nanos next_growth_{};  // not larger before
};

}  // namespace cloister::policy::memory
