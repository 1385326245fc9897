// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <vector>

#include "policy/memory/divide.h"
#include "policy/memory/miss_ratio.h"

// Sharing by what a unit is worth: the misses that it saves. A richer estimate beside activity, as a setting.
namespace cloister::policy::memory {

// So many further units save so many misses a second together.
struct Saving {
  Units units;
  u64 misses = 0;  // a second, in millionths

  // Misses saved by each unit, compared exactly.
  friend constexpr std::weak_ordering operator<=>(const Saving& a, const Saving& b) {
    return u128{a.misses} * b.units.raw <=> u128{b.misses} * a.units.raw;
  }
  friend constexpr bool operator==(const Saving& a, const Saving& b) { return (a <=> b) == 0; }
};

// From the first unit on, each saving no better than the one before it: the upper hull of the hits. Where the
// true curve has a cliff (a loop that fits or does not), the hull leads straight to its edge.
using Savings = std::vector<Saving>;

// Bound: at most 2^32 references a second count.
Savings savings(const MissRatioCurve& curve, u64 references_per_second, Units size);

// The savings of a pool: its children's, the best first, each weighing as its shares among theirs.
Savings merge(std::span<const Savings> children, std::span<const Bidder> bidders);

struct WorthDivision {
  Division division;
  std::vector<Units> floors;  // what no other's need could take from each
};

// Everybody keeps (1 - tau) of what shares alone would give him, and his min. The rest goes to the greatest
// savings, each weighing as the shares; what nobody's savings claim is divided by price. Who has no savings
// (nothing is known of him yet) keeps all that shares alone give. `taxes` are the bidders' rates.
WorthDivision divide_by_worth(Units total, std::span<const Bidder> bidders, std::span<const Savings> savings,
                              std::span<const Fraction> taxes);

}  // namespace cloister::policy::memory
