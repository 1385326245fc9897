// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "base/units.h"

namespace cloister::hart {

// All that a guest can see of a hart between two instructions, by the manual's names, for comparing and for
// showing. Times are left out: pending timer interrupts and `time` follow the machine's clock.
struct NamedValue {
  std::string name;
  u64 value = 0;
  bool operator==(const NamedValue&) const = default;
};
using Snapshot = std::vector<NamedValue>;

// "pc 0x80001234, a0 0x1 (reference 0x2)": what is different, one line each. Precondition: of two harts of
// the same kind.
std::string differences(const Snapshot& tested, const Snapshot& reference);

}  // namespace cloister::hart
