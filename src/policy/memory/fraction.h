// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/check.h"
#include "base/units.h"

namespace cloister::policy::memory {

// A part of a whole in millionths, so that what people write (75 %, 0.99) is exact and no decision needs a
// float.
struct Fraction {
  static constexpr u32 kWhole = 1'000'000;

  u32 raw = 0;  // 0..kWhole

  constexpr auto operator<=>(const Fraction&) const = default;

  static constexpr Fraction whole() { return {kWhole}; }
  static constexpr Fraction percent(u32 points) { return {points * (kWhole / 100)}; }
  // part/whole rounded to the nearest millionth; all of nothing is the whole. Precondition: part <= whole.
  static constexpr Fraction ratio(u64 part, u64 whole) {
    DCHECK(part <= whole);
    return {whole == 0 ? kWhole : static_cast<u32>((u128{part} * kWhole + whole / 2) / whole)};
  }

  constexpr Fraction rest() const { return {kWhole - raw}; }
  // This part of an amount, rounded down or up.
  constexpr u64 of(u64 amount) const { return static_cast<u64>(u128{amount} * raw / kWhole); }
  constexpr u64 of_rounded_up(u64 amount) const {
    return static_cast<u64>((u128{amount} * raw + kWhole - 1) / kWhole);
  }
};

}  // namespace cloister::policy::memory
