// SPDX-License-Identifier: Apache-2.0
#include "policy/memory/condition.h"

#include <gtest/gtest.h>

namespace cloister::policy::memory {
namespace {

using enum ConditionLevel;

ConditionInputs holding(HostState state, u64 held, u64 target = 10'000) {
  ConditionInputs inputs;
  inputs.state = state;
  inputs.held = {held};
  inputs.target = {target};
  return inputs;
}

ConditionLevel level_after(LevelTracker& tracker, const ConditionInputs& inputs) {
  tracker.update(inputs);
  return tracker.level();
}

TEST(ConditionLevels, FollowTheHostForWhoHoldsTooMuch) {
  LevelTracker tracker;
  EXPECT_EQ(level_after(tracker, holding(HostState::kHigh, 20'000)), kAmple);
  EXPECT_EQ(level_after(tracker, holding(HostState::kSoft, 20'000)), kSoft);
  EXPECT_EQ(level_after(tracker, holding(HostState::kHard, 20'000)), kHard);
  EXPECT_EQ(level_after(tracker, holding(HostState::kLow, 20'000)), kCritical);
  EXPECT_FALSE(tracker.update(holding(HostState::kLow, 20'000)));
  EXPECT_TRUE(tracker.update(holding(HostState::kHigh, 20'000)));
}

TEST(ConditionLevels, WhoHoldsItsPartIsAskedForLittle) {
  LevelTracker tracker;
  EXPECT_EQ(level_after(tracker, holding(HostState::kLow, 10'000)), kSoft);
  EXPECT_EQ(level_after(tracker, holding(HostState::kHigh, 10'000)), kAmple);
}

TEST(ConditionLevels, ALittleMoreOrLessThanItsPartChangesNothing) {
  LevelTracker tracker;
  EXPECT_EQ(level_after(tracker, holding(HostState::kHard, 10'000 + 512)), kSoft);
  EXPECT_EQ(level_after(tracker, holding(HostState::kHard, 10'000 + 513)), kHard);
  EXPECT_EQ(level_after(tracker, holding(HostState::kHard, 10'000 + 1)), kHard);
  EXPECT_EQ(level_after(tracker, holding(HostState::kHard, 10'000)), kSoft);
}

TEST(ConditionLevels, StandingStillIsCritical) {
  LevelTracker tracker;
  ConditionInputs inputs = holding(HostState::kHard, 20'000);
  inputs.standing_still = true;
  EXPECT_EQ(level_after(tracker, inputs), kCritical);
}

ConditionInputs paging(u64 swapped, u64 rate) {
  ConditionInputs inputs = holding(HostState::kHigh, 10'000);
  inputs.swapped = {swapped};
  inputs.swap_in_rate = {rate};
  return inputs;
}

TEST(ConditionLevels, WhoReadsBackWhatItHasNoRoomForIsToldSoWhateverTheHostHas) {
  LevelTracker tracker;
  EXPECT_EQ(level_after(tracker, paging(5'000, 255)), kAmple) << "that little does no harm";
  EXPECT_EQ(level_after(tracker, paging(5'000, 256)), kHard);
  EXPECT_EQ(tracker.release(paging(5'000, 256)), Units{2'560}) << "what comes back in ten seconds";
  EXPECT_EQ(tracker.release(paging(5'000, 1'000)), Units{5'000}) << "and no more than there is";
  EXPECT_EQ(level_after(tracker, paging(5'000, 64)), kHard);
  EXPECT_EQ(level_after(tracker, paging(5'000, 63)), kAmple);
  EXPECT_EQ(tracker.release(paging(5'000, 63)), Units{});
}

ConditionInputs waiting(u64 waited, u64 ran, u64 rate = 256) {
  ConditionInputs inputs = paging(5'000, rate);
  inputs.waited = Nanos{waited * 1'000'000};
  inputs.ran = Nanos{ran * 1'000'000};
  return inputs;
}

TEST(ConditionLevels, WhoWaitsForItsPagesAQuarterOfTheTimeStandsStill) {
  LevelTracker tracker;
  EXPECT_EQ(level_after(tracker, waiting(249, 1'000)), kHard);
  EXPECT_EQ(level_after(tracker, waiting(250, 1'000)), kCritical);
  EXPECT_EQ(level_after(tracker, waiting(63, 1'000)), kCritical);
  EXPECT_EQ(level_after(tracker, waiting(62, 1'000)), kHard);
  EXPECT_EQ(level_after(tracker, waiting(500, 4'000)), kHard) << "others of its harts run";
  EXPECT_EQ(level_after(tracker, waiting(124, 130)), kHard) << "it hardly runs";
  EXPECT_EQ(level_after(tracker, waiting(125, 130)), kCritical);
}

TEST(ConditionLevels, WhoWaitsForWhatItHasRoomForDoesNotStandStill) {
  LevelTracker tracker;
  EXPECT_EQ(level_after(tracker, waiting(900, 1'000, 255)), kAmple);
  EXPECT_EQ(level_after(tracker, waiting(900, 1'000)), kCritical);
  ConditionInputs inputs = waiting(900, 1'000);
  inputs.held = {5'000};
  EXPECT_EQ(level_after(tracker, inputs), kAmple);
}

TEST(ConditionLevels, WhatThereIsRoomForMayComeBack) {
  LevelTracker tracker;
  ConditionInputs inputs = paging(5'000, 1'000);
  inputs.held = {5'000};
  EXPECT_EQ(level_after(tracker, inputs), kAmple);
  inputs.target = {4'000};
  inputs.state = HostState::kHard;
  EXPECT_EQ(level_after(tracker, inputs), kHard);
  EXPECT_EQ(tracker.release(inputs), Units{6'000}) << "what it holds too much, and what it has elsewhere";
}

TEST(ConditionFigures, WhatIsAvailableIsWhatMayStillBeHadAndWhatIsFreeWithFrames) {
  ConditionInputs inputs = holding(HostState::kSoft, 8'000);
  EXPECT_EQ(available_of(inputs), Units{2'000});
  inputs.without_frames = {3'000};
  inputs.guest_available = Units{5'000};
  EXPECT_EQ(available_of(inputs), Units{4'000}) << "3000 of it have no frame, and 2000 more may be had";
  inputs.swapped = Units{500};
  EXPECT_EQ(available_of(inputs), Units{3'500}) << "what is kept elsewhere may be free too";
  inputs.swapped = {};
  inputs.guest_available = Units{1'500};
  EXPECT_EQ(available_of(inputs), Units{1'500});
  inputs.held = {12'000};
  EXPECT_EQ(available_of(inputs), Units{0});
  EXPECT_EQ(gap_of(inputs.held, inputs.target), Units{2'000});
  EXPECT_EQ(gap_of({5}, {10}), Units{0});
}

TEST(Rates, AreAveragedAndFallToNothing) {
  constexpr u64 kNanosEach = 1'000'000'000;
  Rate rate;
  EXPECT_EQ(rate.update(500, Nanos{kNanosEach}), 0u) << "the first figure says nothing";
  EXPECT_EQ(rate.update(700, Nanos{3 * kNanosEach}), 100u);
  EXPECT_EQ(rate.update(700, Nanos{4 * kNanosEach}), 50u);
  EXPECT_EQ(rate.update(700, Nanos{4 * kNanosEach}), 50u);
  EXPECT_EQ(rate.update(700, Nanos{9 * kNanosEach}), 0u);
  EXPECT_EQ(rate.update(3, Nanos{10 * kNanosEach}), 0u) << "begun anew";
}

}  // namespace
}  // namespace cloister::policy::memory
