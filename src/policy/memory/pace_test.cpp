// SPDX-License-Identifier: Apache-2.0
#include "policy/memory/pace.h"

#include <gtest/gtest.h>

namespace cloister::policy::memory {
namespace {

TEST(Pace, TakesAnEighthOfTheGapAndGivesAtOnce) {
  EXPECT_EQ(next_step({1800}, {1000}), Units{1700});
  EXPECT_EQ(next_step({1001}, {1000}), Units{1000});
  EXPECT_EQ(next_step({100}, {1000}), Units{1000});
  EXPECT_EQ(next_step({5}, {5}), Units{5});
}

TEST(Pace, ReachesEveryTarget) {
  Units held{100'000'000};
  int steps = 0;
  for (; held > Units{1}; ++steps) held = next_step(held, {1});
  EXPECT_LT(steps, 200);
}

TEST(Demand, OwesOnlyTheRemainderAndOnlyAfterTheDeadline) {
  const DeadlineSettings settings{{1'000'000'000}, 100};
  const Demand made = demand({1000}, {700}, {5'000'000'000}, settings);
  EXPECT_EQ(made.deadline, Nanos{9'000'000'000});  // a second, and three for 300 units
  EXPECT_EQ(made.remainder({1000}, {8'999'999'999}), Units{});
  EXPECT_EQ(made.remainder({750}, {9'000'000'000}), Units{50});
  EXPECT_EQ(made.remainder({700}, {9'000'000'000}), Units{});
  EXPECT_EQ(made.given({750}), Units{250});
  EXPECT_TRUE(made.met({650}));
}

TEST(Demand, AsksNothingOfWhoHoldsLess) {
  const Demand made = demand({100}, {700}, {}, {});
  EXPECT_EQ(made.asked_for(), Units{});
  EXPECT_TRUE(made.met({100}));
  EXPECT_EQ(made.remainder({100}, {~u64{0}}), Units{});
}

}  // namespace
}  // namespace cloister::policy::memory
