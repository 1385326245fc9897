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
};

// What is still to be given up.
constexpr Units gap_of(Units held, Units target) { return held > target ? held - target : Units{}; }

// What the guest's programs can use without making the host take from elsewhere: what it may still get, and
// what its kernel has free that holds frames already.
Units available_of(const ConditionInputs& inputs);

// The level follows the host's state, with its hysteresis. A machine that holds no more than its part is
// asked for nothing that costs it; a little more or less changes nothing.
class LevelTracker {
 public:
  static constexpr Units kSlack{512};  // 2 MiB

  ConditionLevel level() const { return level_; }
  // True when it changed.
  bool update(const ConditionInputs& inputs);

 private:
  ConditionLevel level_ = ConditionLevel::kAmple;
  bool above_ = false;
};

// A rate from a count that only rises: averaged over about two seconds. Not thread safe.
class Rate {
 public:
  // `total` so far; a second of it. A count that falls begins anew.
  u64 update(u64 total, Nanos now);
  u64 per_second() const { return rate_; }

 private:
  u64 last_ = 0;
  Nanos at_{};
  u64 rate_ = 0;
  bool begun_ = false;
};

}  // namespace cloister::policy::memory
