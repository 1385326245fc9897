// SPDX-License-Identifier: Apache-2.0
#include "policy/memory/states.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/random.h"

namespace cloister::policy::memory {
namespace {

using ::testing::Contains;
using ::testing::Not;

constexpr Pages mebibytes(u64 count) { return {count * 256}; }
constexpr Pages gibibytes(u64 count) { return mebibytes(count * 1024); }

TEST(Thresholds, OfTheFixedKindArePartsOfThePool) {
  const auto thresholds = Thresholds::of(ThresholdKind::kFixed, {100'000});
  EXPECT_EQ(thresholds.high, Pages{6000});
  EXPECT_EQ(thresholds.soft, Pages{4000});
  EXPECT_EQ(thresholds.hard, Pages{2000});
  EXPECT_EQ(thresholds.low, Pages{1000});
}

// 6 % of 4 GiB + 4 % of 8 GiB + 2 % of 16 GiB + 1 % of 72 GiB, and parts of that.
TEST(Thresholds, OfTheSlidingKindGrowSlowerThanThePool) {
  const auto thresholds = Thresholds::of(ThresholdKind::kSliding, gibibytes(100));
  EXPECT_NEAR(static_cast<double>(thresholds.high.raw), 0.01 * 256 * 1024 * (24 + 32 + 32 + 72), 4.0);
  EXPECT_NEAR(static_cast<double>(thresholds.soft.raw), 0.64 * static_cast<double>(thresholds.high.raw), 1.0);
  EXPECT_NEAR(static_cast<double>(thresholds.low.raw), 0.16 * static_cast<double>(thresholds.high.raw), 1.0);
  EXPECT_EQ(Thresholds::of(ThresholdKind::kSliding, gibibytes(1)).high, Pages{15'729});
}

TEST(Thresholds, LieApartForEveryPool) {
  for (const ThresholdKind kind : {ThresholdKind::kFixed, ThresholdKind::kSliding}) {
    for (u64 pool = Thresholds::kSmallestPool.raw; pool < (u64{1} << 36); pool = pool * 5 / 4) {
      const auto thresholds = Thresholds::of(kind, {pool});
      EXPECT_GT(thresholds.high, thresholds.soft);
      EXPECT_GT(thresholds.soft, thresholds.hard);
      EXPECT_GT(thresholds.hard, thresholds.low);
      EXPECT_GT(thresholds.low, Pages{});
      EXPECT_GT(thresholds.upward(HostState::kHard), thresholds.downward(HostState::kHard));
      EXPECT_LT(thresholds.goal(), Pages{pool / 8});
    }
  }
}

// high 6000, soft 4000, hard 2000, low 1000.
StateTracker tracker() { return StateTracker(Thresholds::of(ThresholdKind::kFixed, {100'000})); }

TEST(HostState, GoesDownOneLevelAtATime) {
  StateTracker states = tracker();
  EXPECT_FALSE(states.update({4000}));
  EXPECT_TRUE(states.update({0}));
  EXPECT_EQ(states.state(), HostState::kSoft);
  EXPECT_TRUE(states.update({0}));
  EXPECT_EQ(states.state(), HostState::kHard);
  EXPECT_TRUE(states.update({999}));
  EXPECT_EQ(states.state(), HostState::kLow);
  EXPECT_FALSE(states.update({0}));
}

TEST(HostState, GoesUpOnlyHalfAGapAboveTheHigherThreshold) {
  StateTracker states = tracker();
  while (states.update({0})) continue;
  EXPECT_FALSE(states.update({3000}));
  EXPECT_TRUE(states.update({3001}));
  EXPECT_EQ(states.state(), HostState::kHard);
  EXPECT_FALSE(states.update({5000}));
  EXPECT_TRUE(states.update({5001}));
  EXPECT_EQ(states.state(), HostState::kSoft);
  EXPECT_FALSE(states.update({7000}));
  EXPECT_TRUE(states.update({7001}));
  EXPECT_EQ(states.state(), HostState::kHigh);
}

TEST(HostState, IsHighOnceTargetsAreMet) {
  for (const ThresholdKind kind : {ThresholdKind::kFixed, ThresholdKind::kSliding}) {
    StateTracker states(Thresholds::of(kind, gibibytes(1)));
    while (states.update({0})) continue;
    while (states.update(states.thresholds().goal())) continue;
    EXPECT_EQ(states.state(), HostState::kHigh);
  }
}

TEST(HostState, DoesNotOscillateWithFreeMemoryThatWavers) {
  const u64 seed = 31'337;
  fmt::print("seed {}\n", seed);
  Random random(seed);
  for (int i = 0; i < 1'000; ++i) {
    StateTracker states = tracker();
    const u64 around = random.below(9'000);
    int moves = 0;
    for (int step = 0; step < 100; ++step) moves += states.update({around + random.below(1'000)});
    EXPECT_LE(moves, 3) << around;  // down from high, and no way back
  }
}

TEST(HostState, AllowsMoreTheLowerItIs) {
  EXPECT_THAT(actions(HostState::kHigh).ways, Not(Contains(Way::kBalloon)));
  EXPECT_THAT(actions(HostState::kSoft).ways, Contains(Way::kBalloon));
  EXPECT_THAT(actions(HostState::kSoft).ways, Not(Contains(Way::kSwap)));
  EXPECT_THAT(actions(HostState::kHard).ways, Contains(Way::kSwap));
  EXPECT_FALSE(actions(HostState::kHard).stop_above_target);
  EXPECT_TRUE(actions(HostState::kLow).stop_above_target);
  for (const HostState state : {HostState::kHigh, HostState::kSoft, HostState::kHard, HostState::kLow})
    EXPECT_TRUE(std::is_sorted(actions(state).ways.begin(), actions(state).ways.end()));
}

}  // namespace
}  // namespace cloister::policy::memory
