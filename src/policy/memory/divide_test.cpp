// SPDX-License-Identifier: Apache-2.0
#include "policy/memory/divide.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/random.h"

namespace cloister::policy::memory {
namespace {

using ::testing::ElementsAre;

constexpr u64 kPagesPerMiB = 256;

Bidder bidder(u64 shares, u64 cap, u64 active, Fraction tau) {
  return {{shares}, {}, {cap}, {}, CostCurve({TaxKind::kFlat, tau}, Usage::of({active}))};
}

// In tenths, to the nearest.
std::vector<u64> mebibytes(const Division& division) {
  std::vector<u64> parts;
  for (const Units part : division.parts) parts.push_back((part.raw * 10 + kPagesPerMiB / 2) / kPagesPerMiB);
  return parts;
}

// Two like machines of 256 MiB with 60 and 230 MiB in use, and 328 MiB to give.
Division example(Fraction tau) {
  const Bidder both[] = {bidder(100, 256 * kPagesPerMiB, 60 * kPagesPerMiB, tau),
                         bidder(100, 256 * kPagesPerMiB, 230 * kPagesPerMiB, tau)};
  return divide({328 * kPagesPerMiB}, both);
}

TEST(Divide, WithoutTaxSharesDecide) {
  EXPECT_THAT(mebibytes(example(Fraction::percent(0))), ElementsAre(1640, 1640));
}

TEST(Divide, WithTaxIdleMemoryMovesToWhoUsesIt) {
  EXPECT_THAT(mebibytes(example(Fraction::percent(75))), ElementsAre(1016, 2264));
}

// -- Closed form and page-wise rule
// --------------------------------------------------------------------------

Tax random_tax(Random& random) {
  return {static_cast<TaxKind>(random.below(3)), Fraction::percent(static_cast<u32>(random.below(100)))};
}

Usage random_usage(Random& random, u64 size) {
  Usage usage;
  u64 at = random.one_in(5) ? 0 : random.below(size + 1);
  for (Units& touched : usage.touched) {
    touched = {at};
    if (random.one_in(2)) at += random.below(size - at + 1);
  }
  return usage;
}

struct Case {
  std::vector<Bidder> bidders;
  Units total{};
};

// Few values for shares, so that there are ties; some like others, at their min, at their cap, above it,
// empty.
Case random_case(Random& random) {
  Case made;
  Units mins{}, caps{};
  const u64 count = 1 + random.below(12);
  const u64 largest = 1 + random.below(60);
  const Tax shared_tax = random_tax(random);
  for (u64 i = 0; i < count; ++i) {
    if (i > 0 && random.one_in(3)) {
      made.bidders.push_back(made.bidders[random.below(i)]);
    } else {
      const u64 cap = random.one_in(8) ? 0 : random.below(largest + 1);
      const Units min{random.one_in(2) ? 0 : random.below(cap + 1)};
      const Shares shares{random.one_in(4) ? 1 + random.below(kMaxShares.raw) : 100 * (1 + random.below(4))};
      const Tax tax = random.one_in(2) ? shared_tax : random_tax(random);
      made.bidders.push_back({shares, min, {cap}, {}, CostCurve(tax, random_usage(random, cap))});
    }
    made.bidders.back().held = {random.below(largest + 2)};
    mins += made.bidders.back().min;
    caps += made.bidders.back().cap;
  }
  made.total = mins + Units{random.below((caps - mins).raw + 3)};
  return made;
}

TEST(Divide, AgreesWithThePageWiseRuleToTheUnit) {
  const u64 seed = 20'020'917;
  fmt::print("seed {}\n", seed);
  Random random(seed);
  for (int i = 0; i < 30'000; ++i) {
    const Case made = random_case(random);
    ASSERT_EQ(divide(made.total, made.bidders).parts, settle(made.total, made.bidders)) << "case " << i;
  }
}

// Where the page-wise rule would take hours: nobody may take from anybody, and all is given out.
void expect_settled(const Case& made, const std::vector<Units>& parts) {
  std::vector<Bidder> bidders = made.bidders;
  Units given{};
  for (std::size_t i = 0; i < parts.size(); ++i) {
    ASSERT_GE(parts[i], bidders[i].min);
    ASSERT_LE(parts[i], bidders[i].cap);
    bidders[i].held = parts[i];
    given += parts[i];
  }
  const auto requester = best_funded(bidders);
  const auto victim = least_funded(bidders);
  EXPECT_EQ(given, made.total);
  EXPECT_FALSE(requester && victim && may_take(bidders[*requester], bidders[*victim]));
}

Case random_large_case(Random& random) {
  Case made;
  Units mins{}, caps{};
  const u64 count = 1 + random.below(400);
  for (u64 i = 0; i < count; ++i) {
    const u64 cap = 1 + random.below(u64{1} << random.below(28));
    const Units min{random.one_in(2) ? 0 : random.below(cap)};
    const Shares shares{1 + random.below(u64{1} << random.below(33))};
    made.bidders.push_back(
        {shares, min, {cap}, {random.below(cap)}, CostCurve(random_tax(random), random_usage(random, cap))});
    mins += min;
    caps += {cap};
  }
  made.total = mins + Units{random.below((caps - mins).raw + 1)};
  return made;
}

TEST(Divide, SettlesSetsOfAnySize) {
  const u64 seed = 11'048'418;
  fmt::print("seed {}\n", seed);
  Random random(seed);
  for (int i = 0; i < 2'000; ++i) {
    const Case made = random_large_case(random);
    expect_settled(made, divide(made.total, made.bidders).parts);
    if (HasFatalFailure() || HasNonfatalFailure()) FAIL() << "case " << i;
  }
}

TEST(Divide, TakesTheLargestNumbersThatAreAllowed) {
  const CostCurve idle({TaxKind::kFlat, kMaxTax}, Usage::of({0}));
  const CostCurve used({TaxKind::kFlat, kMaxTax}, Usage::of(kMaxUnits));
  const Case made{{{{1}, {}, kMaxUnits, {}, idle},
                   {kMaxShares, {}, kMaxUnits, {}, used},
                   {kMaxShares, {}, {5}, {}, idle}},
                  kMaxUnits + Units{1'000'000}};
  expect_settled(made, divide(made.total, made.bidders).parts);
}

TEST(Divide, GivesTheMinimumsAndSaysWhatLacksWhenTheyDoNotFit) {
  Bidder both[] = {bidder(1, 100, 100, {}), bidder(1, 100, 100, {})};
  both[0].min = {60};
  both[1].min = {70};
  const Division division = divide({100}, both);
  EXPECT_THAT(division.parts, ElementsAre(Units{60}, Units{70}));
  EXPECT_EQ(division.shortfall, Units{30});
}

TEST(Divide, LeavesWhatNobodyCanHold) {
  const Bidder both[] = {bidder(1, 100, 100, {}), bidder(9, 50, 0, {})};
  const Division division = divide({180}, both);
  EXPECT_THAT(division.parts, ElementsAre(Units{100}, Units{50}));
  EXPECT_EQ(division.unclaimed, Units{30});
}

TEST(Divide, LeavesAnOddUnitWithWhoHasIt) {
  Bidder both[] = {bidder(1, 100, 100, {}), bidder(1, 100, 100, {})};
  both[1].held = {51};
  EXPECT_THAT(divide({101}, both).parts, ElementsAre(Units{50}, Units{51}));
  both[1].held = {50};
  EXPECT_THAT(divide({101}, both).parts, ElementsAre(Units{51}, Units{50}));
}

TEST(Divide, OfNobodyIsNothing) {
  const Division division = divide({7}, {});
  EXPECT_TRUE(division.parts.empty());
  EXPECT_EQ(division.unclaimed, Units{7});
}

// -- The rule itself
// ---------------------------------------------------------------------------------------------

Bidder holder(u64 shares, u64 held, u64 active) {
  Bidder one = bidder(shares, 1000, active, Fraction::percent(75));
  one.held = {held};
  return one;
}

// At 75 % an idle unit costs 4 times a used one, so 4 times the shares are exactly enough to protect it: a
// tie; one share less loses the unit.
TEST(IdleTax, FourTimesTheSharesProtectAnIdleUnitExactly) {
  const Bidder user = holder(100, 99, 1000);  // will hold 100 used units
  EXPECT_FALSE(may_take(user, holder(400, 100, 0)));
  EXPECT_TRUE(may_take(user, holder(399, 100, 0)));
}

TEST(Revocation, TakesFromWhoPaysLeastButNeverAMinimum) {
  Bidder all[] = {holder(100, 50, 1000), holder(100, 90, 1000), holder(100, 70, 1000)};
  EXPECT_EQ(least_funded(all), 1u);
  all[1].min = {90};
  EXPECT_EQ(least_funded(all), 2u);
  for (Bidder& one : all) one.min = one.held;
  EXPECT_EQ(least_funded(all), std::nullopt);
}

TEST(Revocation, PassesNoUnitToAndFro) {
  const Bidder a = holder(100, 50, 1000);
  const Bidder b = holder(100, 51, 1000);
  EXPECT_FALSE(may_take(a, b));  // a would pay with 51 what b pays with 51
  EXPECT_FALSE(may_take(b, a));
  EXPECT_TRUE(may_take(a, holder(100, 52, 1000)));
}

}  // namespace
}  // namespace cloister::policy::memory
