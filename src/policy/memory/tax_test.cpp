// SPDX-License-Identifier: Apache-2.0
#include "policy/memory/tax.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/random.h"

namespace cloister::policy::memory {
namespace {

constexpr u64 kUsed = Fraction::kWhole;

CostCurve flat(u32 percent, u64 active) {
  return CostCurve({TaxKind::kFlat, Fraction::percent(percent)}, Usage::of({active}));
}

TEST(Fraction, IsExactForWhatPeopleWrite) {
  EXPECT_EQ(Fraction::percent(75).of(1000), 750u);
  EXPECT_EQ(Fraction::percent(99).rest(), Fraction::percent(1));
  EXPECT_EQ(Fraction::percent(1).of_rounded_up(1), 1u);
  EXPECT_EQ(Fraction::ratio(1, 3).raw, 333'333u);
  EXPECT_EQ(Fraction::ratio(0, 0), Fraction::whole());
}

TEST(CostCurve, CountsAUsedUnitOnceAndAnIdleOneByTheTax) {
  EXPECT_EQ(flat(75, 10).cost({10}), 10 * kUsed);
  EXPECT_EQ(flat(75, 10).cost({13}), 22 * kUsed);
  EXPECT_EQ(flat(0, 10).cost({13}), 13 * kUsed);
  EXPECT_EQ(flat(99, 0).cost({2}), 200 * kUsed);
  EXPECT_EQ(flat(50, 10).cost({}), 0u);
}

// rho = S / (P (f + k (1 - f))) with f = 1/4, k = 4, P = 40: 40 (1/4 + 3) = 130.
TEST(CostCurve, IsThePapersFormula) { EXPECT_EQ(flat(75, 10).cost({40}), 130 * kUsed); }

TEST(CostCurve, RisesByEighthsOfTheIdlePartWhenProgressive) {
  const CostCurve curve({TaxKind::kProgressive, Fraction::percent(80)}, Usage::of({800}));
  const auto rate = [&](u64 units) { return curve.cost({units + 1}) - curve.cost({units}); };
  EXPECT_EQ(rate(799), kUsed);
  EXPECT_EQ(rate(800), kUsed * 10 / 9);  // less than 1/8 idle: a tax of 10 %
  EXPECT_EQ(rate(1600), kUsed * 2);      // 4/8 idle: 50 %
  EXPECT_EQ(rate(6400), kUsed * 5);      // from 7/8 on the whole 80 %
  EXPECT_EQ(rate(1'000'000), kUsed * 5);
}

TEST(CostCurve, ChargesMoreForWhatHasBeenIdleForLonger) {
  Usage usage = Usage::of({100});
  for (std::size_t j = 1; j < kAges; ++j) usage.touched[j] = {200};
  const CostCurve curve({TaxKind::kByTime, Fraction::percent(70)}, usage);
  EXPECT_EQ(curve.cost({101}) - curve.cost({100}), (kUsed * 10 + 4) / 9);  // just idle: 10 %
  EXPECT_EQ(curve.cost({201}) - curve.cost({200}), (kUsed * 10 + 1) / 3);  // long idle: 70 %
}

TEST(CostCurve, WithAllIdleAlikeTaxByTimeIsFlat) {
  const CostCurve by_time({TaxKind::kByTime, Fraction::percent(75)}, Usage::of({10}));
  EXPECT_EQ(by_time.cost({50}), flat(75, 10).cost({50}));
}

CostCurve random_curve(Random& random, u64 size) {
  Usage usage;
  u64 at = random.below(size);
  for (Units& touched : usage.touched) touched = {at += random.below(size - at + 1) / 2};
  return CostCurve(
      {static_cast<TaxKind>(random.below(3)), Fraction::percent(static_cast<u32>(random.below(100)))}, usage);
}

TEST(CostCurve, MakesThePriceFallWithEveryUnit) {
  const u64 seed = 8'756'397;
  fmt::print("seed {}\n", seed);
  Random random(seed);
  for (int i = 0; i < 300; ++i) {
    const u64 size = 1 + random.below(1000);
    const CostCurve curve = random_curve(random, size);
    for (u64 units = 1; units < 2 * size; ++units) {
      const Price before{{7}, curve.cost({units})};
      const Price after{{7}, curve.cost({units + 1})};
      ASSERT_LT(after, before) << "case " << i;
      ASSERT_GE(curve.cost({units + 1}) - curve.cost({units}), kUsed);
    }
  }
}

TEST(CostCurve, AffordsExactlyWhatItCosts) {
  const u64 seed = 9'250'943;
  fmt::print("seed {}\n", seed);
  Random random(seed);
  for (int i = 0; i < 5'000; ++i) {
    const u64 size = 1 + random.below(u64{1} << 30);
    const CostCurve curve = random_curve(random, size);
    const Units units{random.below(size)};
    const u64 cost = curve.cost(units);
    ASSERT_EQ(curve.affordable(cost), units);
    ASSERT_EQ(curve.affordable(cost > 0 ? cost - 1 : 0), units.raw > 0 ? units - Units{1} : units);
  }
}

TEST(Price, IsComparedExactly) {
  EXPECT_EQ((Price{{1}, 3}), (Price{{2}, 6}));
  EXPECT_LT((Price{{1}, 3}), (Price{{3'333'333'334}, 10'000'000'001}));
  EXPECT_GT((Price{{5}, 0}), (Price{kMaxShares, 1}));
  EXPECT_LT((Price{{0}, 1}), (Price{{1}, ~u64{0}}));
}

}  // namespace
}  // namespace cloister::policy::memory
