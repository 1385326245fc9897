// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>

#include "base/units.h"

namespace cloister::cell {

// When a period of the activity's sample is over: by how long the guest ran, or by the wall's clock where it
// hardly runs. What it waits for pages counts for neither. It touches no others meanwhile, so by the clock it
// would seem to use the less the more of its memory was taken, and lose still more.
class SamplePeriod {
 public:
  // So far. The first two are of all harts together.
  struct Times {
    Nanos ran, waited, wall;
  };

  bool has_begun() const { return begun_.wall != Nanos{}; }
  void begin(const Times& now) { begun_ = now; }
  bool is_over(const Times& now, Nanos period, Nanos longest) const {
    const Nanos ran = now.ran - begun_.ran, wall = now.wall - begun_.wall;
    const Nanos waited = now.waited - begun_.waited, most = Nanos{wall.raw - wall.raw / kMostStretch};
    return ran - std::min(ran, waited) >= period || wall - std::min(most, waited) >= longest;
  }

 private:
  // Bound: of the longest period. Then it is over whatever the guest waited for.
  static constexpr u64 kMostStretch = 8;

  Times begun_;
};

}  // namespace cloister::cell
