// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string_view>

#include "base/units.h"
#include "policy/memory/states.h"
#include "policy/memory/tax.h"

// What a guest is told of its machine's memory, computed from what is known outside: the host's state, the
// machine's part, and what it holds. It learns nothing of others but the level.
namespace cloister::policy::memory {

enum class ConditionLevel : u8 { kAmple, kSoft, kHard, kCritical };
std::string_view name_of(ConditionLevel level);

struct ConditionInputs {
  HostState state = HostState::kHigh;
  bool standing_still = false;  // its harts were stopped for want of memory
  Units target{};
  Units held{};
  Units without_frames{};                // pages of the guest that hold none: zero, balloon
  std::optional<Units> guest_available;  // what the guest's kernel calls available
  Units swapped{};                       // kept elsewhere: in swap, or packed
  Units swap_in_rate{};                  // of those in swap, brought back in a second
  Units unpack_rate{};                   // of those packed, over a while
  Nanos ran{};                           // by its harts in a second, all together,
  Nanos waited{};                        // and of that for pages that it did not have
};

// What is still to be given up.
constexpr Units gap_of(Units held, Units target) { return held > target ? held - target : Units{}; }

// What the guest's programs can use without making the host take from elsewhere: what it may still get, and
// what its kernel has free that holds frames already.
Units available_of(const ConditionInputs& inputs);

// The level follows the host's state, with its hysteresis. A machine that holds no more than its part is
// asked for nothing that costs it; a little more or less changes nothing.
//
// But force makes a machine hold no more than its part, and then it may read back all the time what it has no
// room for. Its programs use more than it has, however much the host has free: it is told "hard" while that
// lasts. What never comes back does no harm, and what there is room for is on its way. A packed page comes
// back in an eighth of the time, so it counts so much; and only when they come for a while, for a guest that
// has been idle comes back to itself in a moment.
//
// How long a page takes depends on where swap lies. A machine that waits for pages a quarter of the time that
// its harts run stands still as far as its programs can tell: it is told "critical".
class LevelTracker {
 public:
  static constexpr Units kSlack{512};                         // 2 MiB
  static constexpr Units kManySwapIns{256}, kFewSwapIns{64};  // a second: 1 MiB and a quarter of that
  static constexpr u64 kUnpackedPerSwapIn = 8;
  static constexpr u64 kSecondsToRelease = 10;  // what comes back in so long is too much
  static constexpr u64 kManyWaits = 4,
                       kFewWaits = 16;  // of the time that its harts run, one part in so many;
  static constexpr Nanos kLittleWaiting{
      125'000'000};  // of a second: that is nothing, however little they run

  ConditionLevel level() const { return level_; }
  // It reads back what it has no room for.
  bool is_short() const { return short_; }
  // True when it changed.
  bool update(const ConditionInputs& inputs);
  // What the guest's programs had better let go of, all together.
  Units release(const ConditionInputs& inputs) const;

 private:
  ConditionLevel level_ = ConditionLevel::kAmple;
  bool above_ = false;
  bool short_ = false;
  bool waits_ = false;
};

// A rate from a count that only rises: averaged over about two seconds, or `window`. Not thread safe.
class Rate {
 public:
  explicit Rate(Nanos window = Nanos{2'000'000'000}) : window_(window) {}
  // `total` so far; a second of it. A count that falls begins anew.
  u64 update(u64 total, Nanos now);
  u64 per_second() const { return rate_; }

 private:
  Nanos window_;
  u64 last_ = 0;
  Nanos at_{};
  u64 rate_ = 0;
  bool begun_ = false;
};

}  // namespace cloister::policy::memory
