// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <compare>

#include "base/units.h"
#include "policy/memory/fraction.h"

// What a client pays for what it holds. Source: Waldspurger, OSDI 2002, sections 5.1 and 5.2; US 11,048,418.
namespace cloister::policy::memory {

// What is shared out. For memory: pages of 4 KiB; nothing here knows that.
using Units = Amount<struct UnitsTag>;
constexpr Units units_of(Pages pages) { return {pages.raw}; }
constexpr Pages pages_of(Units units) { return {units.raw}; }

using Shares = Amount<struct SharesTag>;

// Bounds: cost and shares are multiplied in 128 bits without overflow (price.h), and a cost fits 64.
inline constexpr Units kMaxUnits{u64{1} << 36};    // 256 TiB in pages of 4 KiB
inline constexpr Shares kMaxShares{u64{1} << 32};  // of one client
inline constexpr Fraction kMaxTax = Fraction::percent(99);

enum class TaxKind : u8 {
  kFlat,         // every idle unit pays the rate
  kProgressive,  // a unit pays more the larger the idle part of the holding up to it
  kByTime,       // a unit pays more the longer it has been idle
};

struct Tax {
  TaxKind kind = TaxKind::kFlat;
  Fraction rate = Fraction::percent(75);  // tau: the largest part of its idle units that a client can lose
};

// What a client uses of what it could hold. `touched[j]` is how many units were touched within the last 2^j
// periods; touched[0] is A, its active units. Never falls with j.
inline constexpr std::size_t kAges = 7;
struct Usage {
  std::array<Units, kAges> touched{};

  constexpr Units active() const { return touched[0]; }
  // All ages alike: idle units have been idle for long.
  static constexpr Usage of(Units active) {
    Usage usage;
    usage.touched.fill(active);
    return usage;
  }
  constexpr Usage& operator+=(const Usage& other) {
    for (std::size_t i = 0; i < kAges; ++i) touched[i] += other.touched[i];
    return *this;
  }
};

// The cost of holding P units, in millionths of a used unit: each unit costs its own rate, a used one 1, an
// idle one k = 1 / (1 - tau). Rises strictly and ever faster with P. A client's used units count as the first
// of those that it holds.
class CostCurve {
 public:
  CostCurve() : CostCurve(Tax{}, Usage{}) {}
  // Precondition: tax.rate <= kMaxTax; usage never falls with age.
  CostCurve(const Tax& tax, const Usage& usage);

  // Precondition: units <= kMaxUnits. Never 0 for 1 unit or more; 0 for none.
  u64 cost(Units units) const;
  // The most units whose cost is within the budget.
  Units affordable(u64 budget) const;

 private:
  struct Bracket {
    u64 from;       // after so many units ...
    u64 cost_from;  // ... which cost so much ...
    u64 rate;       // ... each further one costs this, in millionths
  };
  void add(u64 from, Fraction tau);

  static constexpr std::size_t kTaxSteps = 8;  // of the progressive tax

  u64 count_ = 0;
  std::array<Bracket, std::max(kAges, kTaxSteps) + 1> brackets_;
};

// What a client pays for each unit that it holds, rho = shares / cost: the higher, the more it is entitled to
// the unit. Compared by multiplying out, exactly.
struct Price {
  Shares shares;
  u64 cost = 0;  // 0: nothing is held, and the price is above all others

  friend constexpr std::weak_ordering operator<=>(const Price& a, const Price& b) {
    return u128{a.shares.raw} * b.cost <=> u128{b.shares.raw} * a.cost;
  }
  friend constexpr bool operator==(const Price& a, const Price& b) { return (a <=> b) == 0; }
};

}  // namespace cloister::policy::memory
