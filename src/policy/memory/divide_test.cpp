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

}  // namespace
}  // namespace cloister::policy::memory
