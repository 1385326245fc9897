// SPDX-License-Identifier: Apache-2.0
#include "sim/workload.h"

#include <algorithm>
#include <utility>

namespace cloister::sim {

Workload::Workload(WorkloadSpec spec, u64 seed) : spec_(std::move(spec)), random_(seed) {
  CHECK(spec_.low <= spec_.high && spec_.period.raw > 0);
  phase_ = {random_.below(spec_.period.raw)};
  level_ = spec_.shape == Shape::kSteps ? Units{} : spec_.low;
}

Units Workload::at(Nanos now) {
  const Units before = level_;
  if (spec_.shape == Shape::kSteps) {
    level_ = steps(now);
  } else if (spec_.shape == Shape::kWave) {
    level_ = wave(now);
  } else {
    while (now >= change_at_) level_ = random_level();
  }
  jumped_ = spec_.shape != Shape::kWave && level_ != before;
  return level_;
}

Units Workload::steps(Nanos now) {
  Units level = level_;
  for (; next_point_ < spec_.points.size() && spec_.points[next_point_].at <= now; ++next_point_)
    level = spec_.points[next_point_].working;
  return level;
}

// A triangle: from low to high and back.
Units Workload::wave(Nanos now) const {
  const u64 half = std::max<u64>(spec_.period.raw / 2, 1);
  const u64 place = (now + phase_).raw % (2 * half);
  const u64 up = place < half ? place : 2 * half - place;
  return spec_.low + Units{static_cast<u64>(u128{(spec_.high - spec_.low).raw} * up / half)};
}

// The next level, and when it ends.
Units Workload::random_level() {
  if (spec_.shape == Shape::kBursts) {
    change_at_ += Nanos{1 + random_.below(2 * spec_.period.raw)};
    return level_ == spec_.low ? spec_.high : spec_.low;
  }
  change_at_ += spec_.period;
  const u64 reach = (spec_.high - spec_.low).raw / 4;
  const u64 lifted = level_.raw + random_.below(2 * reach + 1);
  return std::clamp(Units{lifted > reach ? lifted - reach : 0}, spec_.low, spec_.high);
}

}  // namespace cloister::sim
