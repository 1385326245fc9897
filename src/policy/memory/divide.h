// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "policy/memory/tax.h"

// One level of the tree: so many units among those who bid for them, in two ways that agree to the unit.
namespace cloister::policy::memory {

// Precondition: min <= cap <= kMaxUnits; 0 < shares <= kMaxShares.
struct Bidder {
  Shares shares;
  Units min;
  Units cap;
  Units held;
  CostCurve curve;

  // What it pays for each unit when it holds so many: the first `min` are its own at any price, and past its
  // cap it pays nothing.
  Price price(Units units) const {
    if (units <= min) return {shares, 0};
    if (units > cap) return {Shares{0}, 1};
    return {shares, curve.cost(units)};
  }
};

struct Division {
  std::vector<Units> parts;  // of each bidder, in their order
  std::optional<Price>
      marginal;       // the lowest price at which somebody holds his last unit; none: all at their min
  Units unclaimed{};  // beyond all caps
  Units shortfall{};  // by which the minimums exceed the total; then everybody has his min
};

// The closed form: everybody gets what is worth the common price to him.
Division divide(Units total, std::span<const Bidder> bidders);

// -- The same, unit by unit
// ----------------------------------------------------------------------------------

// Who gives a unit first when somebody must: the one who pays least and is above his min. Of several the
// last.
std::optional<std::size_t> least_funded(std::span<const Bidder> bidders);
// Who gets a unit first: the one who will pay most with it, and is below his cap. Of several the first.
std::optional<std::size_t> best_funded(std::span<const Bidder> bidders);
// A unit moves only if the victim pays less than the requester will with it: else two would pass it to and
// fro.
bool may_take(const Bidder& requester, const Bidder& victim);

// Revokes and grants one unit at a time until none may move. Precondition: the minimums fit the total.
// Bound: as many searches of all bidders as units move; divide() says the same at once.
std::vector<Units> settle(Units total, std::vector<Bidder> bidders);

}  // namespace cloister::policy::memory
