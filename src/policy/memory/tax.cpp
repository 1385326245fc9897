// SPDX-License-Identifier: Apache-2.0
#include "policy/memory/tax.h"

#include <algorithm>

// The tax on idle memory, as brackets.
//
// The paper charges a client that holds P units and uses a part f of them
//
//     rho = S / (P (f + k (1 - f))),   k = 1 / (1 - tau)
//
// With A = f P units in use the denominator is A + k (P - A): the used units cost 1 each and the idle ones k.
// Read so, it is the sum of what the units cost one by one, and a tax that is not flat only gives idle units
// different rates, like the brackets of an income tax:
//
//     progressive   the unit at which the idle part of the holding passes j/8 begins the bracket of
//                   tau (j + 1) / 8; with A in use that is unit 8 A / (8 - j)
//     by time       units idle for 2^j to 2^(j + 1) periods pay tau (j + 1) / 7, so the longest idle pay tau
//
// Every rate is at least 1, so the cost rises strictly and rho falls strictly with P whatever the kind of
// tax: the page-wise rule and the closed form need no more. Rates never fall along the curve, so its inverse
// is a search for the bracket and one division. k is rounded to the millionth once, here; all that follows is
// exact.
namespace cloister::policy::memory {
namespace {

u64 rate_of(Fraction tau) {
  constexpr u64 kWhole = Fraction::kWhole;
  return (kWhole * kWhole + tau.rest().raw / 2) / tau.rest().raw;
}

Fraction part_of(Fraction tau, u64 part, u64 whole) { return {static_cast<u32>(tau.raw * part / whole)}; }

}  // namespace

CostCurve::CostCurve(const Tax& tax, const Usage& usage) {
  DCHECK(tax.rate <= kMaxTax);
  DCHECK(std::is_sorted(usage.touched.begin(), usage.touched.end()));
  const u64 active = usage.active().raw;
  brackets_[0] = {0, 0, Fraction::kWhole};
  count_ = 1;
  switch (tax.kind) {
    case TaxKind::kFlat:
      add(active, tax.rate);
      return;
    case TaxKind::kProgressive:
      for (u64 j = 0; j < kTaxSteps; ++j)
        add(active * kTaxSteps / (kTaxSteps - j), part_of(tax.rate, j + 1, kTaxSteps));
      return;
    case TaxKind::kByTime:
      for (u64 j = 0; j < kAges; ++j) add(usage.touched[j].raw, part_of(tax.rate, j + 1, kAges));
      return;
  }
}

// A bracket that begins where the last one does replaces it.
void CostCurve::add(u64 from, Fraction tau) {
  const Bracket& last = brackets_[count_ - 1];
  const Bracket next{from, last.cost_from + (from - last.from) * last.rate, rate_of(tau)};
  if (from > last.from) ++count_;
  brackets_[count_ - 1] = next;
}

u64 CostCurve::cost(Units units) const {
  DCHECK(units <= kMaxUnits);
  std::size_t i = count_ - 1;
  while (brackets_[i].from > units.raw) --i;
  return brackets_[i].cost_from + (units.raw - brackets_[i].from) * brackets_[i].rate;
}

Units CostCurve::affordable(u64 budget) const {
  std::size_t i = count_ - 1;
  while (brackets_[i].cost_from > budget) --i;
  return {brackets_[i].from + (budget - brackets_[i].cost_from) / brackets_[i].rate};
}

}  // namespace cloister::policy::memory
