// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/units.h"
#include "policy/memory/tax.h"

// How fast a holding moves toward its target, and what is owed when a client does not comply.
namespace cloister::policy::memory {

// The next holding on the way: down by an eighth of the gap (at least a unit), up at once.
constexpr Units next_step(Units held, Units target) {
  if (held <= target) return target;
  return held - Units{(held.raw - target.raw + 7) / 8};
}

// What a client was asked to give back, and by when.
struct Demand {
  Units from{};    // what it held when it was asked
  Units target{};  // what it shall hold
  Nanos asked{};
  Nanos deadline{};

  constexpr Units asked_for() const { return from > target ? from - target : Units{}; }
  constexpr Units given(Units held) const { return from > held ? from - held : Units{}; }
  constexpr bool met(Units held) const { return held <= target; }
  // What is to be taken by force: nothing before the deadline; then what is still missing, not the whole.
  constexpr Units remainder(Units held, Nanos now) const {
    return now < deadline || met(held) ? Units{} : held - target;
  }
};

// The time that a client has: a grace, and what it takes to give the units back at a rate that can be asked
// of a guest. Precondition: units_per_second > 0.
struct DeadlineSettings {
  Nanos grace{1'000'000'000};
  u64 units_per_second = 65'536;  // 256 MiB in pages of 4 KiB
};
constexpr Nanos time_for(Units units, const DeadlineSettings& settings) {
  return settings.grace +
         Nanos{static_cast<u64>(u128{units.raw} * 1'000'000'000 / settings.units_per_second)};
}
constexpr Demand demand(Units held, Units target, Nanos now, const DeadlineSettings& settings) {
  Demand made{held, target, now, now};
  made.deadline += time_for(made.asked_for(), settings);
  return made;
}

}  // namespace cloister::policy::memory
