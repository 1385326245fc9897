// SPDX-License-Identifier: Apache-2.0
#include "agent/release_policy.h"

#include <cloister/guest_abi.h>
#include <gtest/gtest.h>

namespace cloister::agent {
namespace {

constexpr std::uint64_t kMiB = 1 << 20;

ProgramState program(std::uint64_t used, std::uint64_t floor = 0, std::uint64_t weight = 1) {
  return {used * kMiB, 1024 * kMiB, 1024 * kMiB, floor * kMiB, weight};
}

Need need(std::uint64_t time, std::uint32_t level, std::uint64_t release, std::uint64_t spare = 0) {
  Need one;
  one.time = time;
  one.level = level;
  one.release = release * kMiB;
  one.spare = spare * kMiB;
  one.read_back = 10'000'000 * kMiB;  // so much that a millisecond of it is too much
  one.available = one.usable = 400 * kMiB;
  return one;
}

void obey(const std::vector<Turn>& turns, std::vector<ProgramState>& programs) {
  for (const Turn& turn : turns) programs[turn.program].limit = turn.limit;
}

TEST(ReleasePolicyTest, DividesByWhatEachCouldSpare) {
  ReleasePolicy policy(250);
  const auto turns =
      policy.decide(need(1, CLOISTER_HARD, 100), {program(300, 100), program(400, 200), program(50, 50)});
  ASSERT_EQ(turns.size(), 2u);
  EXPECT_EQ(turns[0].limit, 250 * kMiB);
  EXPECT_EQ(turns[1].limit, 350 * kMiB);
}

TEST(ReleasePolicyTest, WeighsAsItIsTold) {
  ReleasePolicy policy(250);
  const auto turns = policy.decide(need(1, CLOISTER_HARD, 100), {program(300, 0, 3), program(300, 0, 1)});
  ASSERT_EQ(turns.size(), 2u);
  EXPECT_EQ(turns[0].limit, 225 * kMiB);
  EXPECT_EQ(turns[1].limit, 275 * kMiB);
}

TEST(ReleasePolicyTest, AsksForLittleWhileTheLevelIsSoft) {
  ReleasePolicy policy(250);
  const auto turns = policy.decide(need(1, CLOISTER_SOFT, 1000), {program(400)});
  ASSERT_EQ(turns.size(), 1u);
  EXPECT_EQ(turns[0].limit, 300 * kMiB);
}

TEST(ReleasePolicyTest, TakesNobodyBelowItsFloor) {
  ReleasePolicy policy(250);
  const auto turns = policy.decide(need(1, CLOISTER_CRITICAL, 5000), {program(400, 150), program(100, 200)});
  ASSERT_EQ(turns.size(), 1u);
  EXPECT_EQ(turns[0].limit, 150 * kMiB);
}

// What the balloon finds free need not be asked for.
TEST(ReleasePolicyTest, AsksOnlyForWhatIsNotFreeAnyway) {
  ReleasePolicy policy(250);
  EXPECT_TRUE(policy.decide(need(1, CLOISTER_HARD, 100, 150), {program(300)}).empty());
  const auto turns = policy.decide(need(2, CLOISTER_HARD, 100, 60), {program(300)});
  ASSERT_EQ(turns.size(), 1u);
  EXPECT_EQ(turns[0].limit, 260 * kMiB);
}

// The host does not see what a program has freed, and goes on wanting it until it has swapped it.
TEST(ReleasePolicyTest, WhatWasFreedIsNotAskedForAgainWithoutABalloon) {
  cloister_condition condition = {};
  condition.configured = 400 * kMiB;
  condition.held = 250 * kMiB;
  EXPECT_EQ(free_and_held(40 * kMiB, condition), 0u);
  EXPECT_EQ(free_and_held(120 * kMiB, condition), 0u) << "the host has taken all of it";
  EXPECT_EQ(free_and_held(220 * kMiB, condition), 70 * kMiB);
  condition.held = 400 * kMiB;
  EXPECT_EQ(free_and_held(120 * kMiB, condition), 120 * kMiB);
}

// Counted once: the same wish, told again while a program follows, is no second wish.
TEST(ReleasePolicyTest, WhatIsUnderWayIsNotAskedForAgain) {
  ReleasePolicy policy(250);
  std::vector<ProgramState> programs = {program(300), program(300)};
  obey(policy.decide(need(1000, CLOISTER_HARD, 100), programs), programs);
  EXPECT_EQ(programs[0].limit + programs[1].limit, 500 * kMiB);
  EXPECT_TRUE(policy.decide(need(2000, CLOISTER_HARD, 100), programs).empty());
  programs[0].used = 280 * kMiB;  // of 50 there are 20 done, and the host has them
  EXPECT_TRUE(policy.decide(need(3000, CLOISTER_HARD, 80), programs).empty());
}

TEST(ReleasePolicyTest, WhoCannotFollowIsNotWaitedForForever) {
  ReleasePolicy policy(250);
  std::vector<ProgramState> programs = {program(300), program(300)};
  obey(policy.decide(need(1000, CLOISTER_HARD, 100), programs), programs);
  programs[1].used = programs[1].limit;
  EXPECT_FALSE(policy.decide(need(11'500, CLOISTER_HARD, 50), programs).empty());
}

// Cut after cut would leave nothing of a cache that forgets slowly.
TEST(ReleasePolicyTest, WhoHasNotFollowedIsAskedForAQuarterOnceInTenSeconds) {
  ReleasePolicy policy(250);
  std::vector<ProgramState> programs = {program(300)};
  obey(policy.decide(need(1000, CLOISTER_HARD, 100), programs), programs);
  programs[0].used = 270 * kMiB;
  EXPECT_TRUE(policy.decide(need(2000, CLOISTER_HARD, 150), programs).empty());
  const auto turns = policy.decide(need(11'000, CLOISTER_HARD, 150), programs);
  ASSERT_EQ(turns.size(), 1u);
  EXPECT_EQ(turns[0].limit, 150 * kMiB);
  programs[0].limit = turns[0].limit;
  EXPECT_TRUE(policy.decide(need(12'000, CLOISTER_HARD, 150), programs).empty());
  programs[0].used = 154 * kMiB;  // it has followed but for a little
  EXPECT_FALSE(policy.decide(need(13'000, CLOISTER_HARD, 50), programs).empty());
}

TEST(ReleasePolicyTest, NeedThatHasMoreThanDoubledDoesNotWaitForWhoFollows) {
  ReleasePolicy policy(250);
  std::vector<ProgramState> programs = {program(300)};
  obey(policy.decide(need(1000, CLOISTER_HARD, 40), programs), programs);
  EXPECT_EQ(programs[0].limit, 260 * kMiB);
  EXPECT_TRUE(policy.decide(need(2000, CLOISTER_HARD, 120), programs).empty());
  const auto turns = policy.decide(need(3000, CLOISTER_HARD, 200), programs);
  ASSERT_EQ(turns.size(), 1u);
  EXPECT_EQ(turns[0].limit, 195 * kMiB);
}

TEST(ReleasePolicyTest, WhoFreesNothingByForgettingIsNotMadeToForgetMore) {
  ReleasePolicy policy(250);
  std::vector<ProgramState> programs = {program(300)};
  programs[0].resident = 310 * kMiB;
  obey(policy.decide(need(1000, CLOISTER_HARD, 120), programs), programs);
  programs[0].used = 180 * kMiB;
  EXPECT_TRUE(policy.decide(need(20'000, CLOISTER_HARD, 100), programs).empty());
  programs[0].resident = 220 * kMiB;
  EXPECT_FALSE(policy.decide(need(21'000, CLOISTER_HARD, 100), programs).empty());
}

// A collector has not come round yet: what is cut meanwhile would be missing once it has.
TEST(ReleasePolicyTest, WhoHasYetToComeDownByAThirdIsNotCutFurther) {
  ReleasePolicy policy(250);
  std::vector<ProgramState> programs = {program(300)};
  obey(policy.decide(need(1000, CLOISTER_CRITICAL, 120), programs), programs);
  ASSERT_EQ(programs[0].limit, 180 * kMiB);
  EXPECT_TRUE(policy.decide(need(60'000, CLOISTER_CRITICAL, 200), programs).empty());
  programs[0].used = 260 * kMiB;
  EXPECT_FALSE(policy.decide(need(61'000, CLOISTER_CRITICAL, 200), programs).empty());
}

// Its allocator keeps what it forgot for a while: the guest's kernel has not got it yet.
TEST(ReleasePolicyTest, WhatWasForgottenAndIsKeptByTheAllocatorIsNotAskedForAgain) {
  ReleasePolicy policy(250);
  std::vector<ProgramState> programs = {program(300)};
  obey(policy.decide(need(1000, CLOISTER_HARD, 100), programs), programs);
  programs[0].used = 190 * kMiB;
  programs[0].resident = 290 * kMiB;
  EXPECT_TRUE(policy.decide(need(2000, CLOISTER_HARD, 90), programs).empty());
  programs[0].resident = 200 * kMiB;
  const auto turns = policy.decide(need(3000, CLOISTER_HARD, 90), programs);
  ASSERT_EQ(turns.size(), 1u);
  EXPECT_EQ(turns[0].limit, 100 * kMiB) << "what it uses less what is wanted";
}

// What it swapped and nobody wants is no loss.
TEST(ReleasePolicyTest, NobodyIsAskedWhileTheHostFindsEnoughThatIsIdle) {
  ReleasePolicy policy(250);
  Need idle = need(1000, CLOISTER_HARD, 100);
  idle.read_back = 0;
  EXPECT_TRUE(policy.decide(idle, {program(300)}).empty());
  idle.level = CLOISTER_CRITICAL;
  EXPECT_TRUE(policy.decide(idle, {program(300)}).empty());
  idle.time += 1500;
  EXPECT_TRUE(policy.decide(idle, {program(300)}).empty()) << "a moment is no more than that";
  idle.time += 2500;
  EXPECT_EQ(policy.decide(idle, {program(300)}).size(), 1u) << "it stands still for more than three seconds";
}

TEST(ReleasePolicyTest, TheyAreAskedOnceReadingBackHasCostThreeSeconds) {
  const auto seconds_until_asked = [](std::uint64_t rate) -> std::uint64_t {
    ReleasePolicy policy(250);
    Need one = need(0, CLOISTER_HARD, 20);
    for (; one.time < 200'000; one.time += 1000) {
      one.read_back = one.time < 2000 ? 0 : rate * kMiB;
      if (!policy.decide(one, {program(300)}).empty()) return one.time / 1000 - 1;
    }
    return 0;
  };
  EXPECT_EQ(seconds_until_asked(4), 0u) << "never";
  EXPECT_EQ(seconds_until_asked(5), 96u);
  EXPECT_EQ(seconds_until_asked(12), 12u);
  EXPECT_EQ(seconds_until_asked(36), 3u);
}

TEST(ReleasePolicyTest, NobodyIsAskedAnyMoreOnceItHasEnded) {
  ReleasePolicy policy(250);
  std::vector<ProgramState> programs = {program(300)};
  Need one = need(20'000, CLOISTER_HARD, 20);
  EXPECT_FALSE(policy.decide(one, programs).empty());
  one.time += 20'000;
  one.read_back = 3 * kMiB;
  EXPECT_TRUE(policy.decide(one, programs).empty());
}

// A collector goes over all of its heap at each cut.
TEST(ReleasePolicyTest, WhoPaysForEachCutIsCutByAPartAtOnce) {
  ReleasePolicy policy(250);
  std::vector<ProgramState> programs = {program(240), program(240)};
  programs[0].least = 40 * kMiB;
  const auto turns = policy.decide(need(1000, CLOISTER_HARD, 4), programs);
  ASSERT_EQ(turns.size(), 2u);
  EXPECT_EQ(turns[0].limit, 200 * kMiB);
  EXPECT_EQ(turns[1].limit, 238 * kMiB);
  obey(turns, programs);
  EXPECT_TRUE(policy.decide(need(2000, CLOISTER_HARD, 8), programs).empty()) << "that much is under way";
  ReleasePolicy another(250);
  std::vector<ProgramState> low = {program(240, 220)};
  low[0].least = 40 * kMiB;
  const auto last = another.decide(need(1000, CLOISTER_HARD, 4), low);
  ASSERT_EQ(last.size(), 1u);
  EXPECT_EQ(last[0].limit, 220 * kMiB) << "nobody goes below its floor";
}

TEST(ReleasePolicyTest, SpreadsTurnsWithinHalfOfTheTimeLeft) {
  ReleasePolicy policy(250);
  const std::vector<ProgramState> programs(9, program(300));
  auto turns = policy.decide(need(1, CLOISTER_HARD, 900), programs);
  ASSERT_EQ(turns.size(), 9u);
  for (std::size_t i = 0; i < 9; ++i) EXPECT_EQ(turns[i].after, 250 * i);
  ReleasePolicy hurried(250);
  Need soon = need(1, CLOISTER_HARD, 900);
  soon.deadline = 1000;
  turns = hurried.decide(soon, programs);
  EXPECT_EQ(turns.front().after, 0u);
  EXPECT_EQ(turns.back().after, 500u);
}

TEST(ReleasePolicyTest, RaisesLimitsStepByStepOnceItIsCalm) {
  ReleasePolicy policy(250);
  std::vector<ProgramState> programs = {program(200)};
  programs[0].limit = 200 * kMiB;
  policy.decide(need(1000, CLOISTER_HARD, 1), programs);
  EXPECT_TRUE(policy.decide(need(5000, CLOISTER_AMPLE, 0), programs).empty());
  std::uint64_t time = 11'000;
  int steps = 0;
  for (; programs[0].limit < programs[0].ceiling; ++steps, time += 5000) {
    const auto turns = policy.decide(need(time, CLOISTER_AMPLE, 0), programs);
    ASSERT_EQ(turns.size(), 1u);
    EXPECT_LE(turns[0].limit - programs[0].limit, 128 * kMiB);
    programs[0].limit = turns[0].limit;
    EXPECT_TRUE(policy.decide(need(time + 1000, CLOISTER_AMPLE, 0), programs).empty());
  }
  EXPECT_GE(steps, 7);
  EXPECT_TRUE(policy.decide(need(time, CLOISTER_AMPLE, 0), programs).empty());
}

TEST(ReleasePolicyTest, RaisesAllTogetherByAQuarterOfWhatIsAvailable) {
  ReleasePolicy policy(250);
  std::vector<ProgramState> programs(4, program(200));
  for (ProgramState& one : programs) one.limit = 200 * kMiB;
  Need calm = need(20'000, CLOISTER_AMPLE, 0);
  calm.available = 200 * kMiB;
  calm.usable = 1000 * kMiB;
  std::uint64_t sum = 0;
  for (const Turn& turn : policy.decide(calm, programs)) sum += turn.limit - 200 * kMiB;
  EXPECT_EQ(sum, 50 * kMiB + 3 * 32 * kMiB) << "and each may try a little";
}

TEST(ReleasePolicyTest, TriesALittleAndWaitsLongerWhereThatWasTooMuch) {
  ReleasePolicy policy(250);
  std::vector<ProgramState> programs = {program(200)};
  programs[0].limit = 200 * kMiB;
  Need calm = need(0, CLOISTER_AMPLE, 0);
  calm.available = 0;
  std::uint64_t time = 0;
  for (const std::uint64_t wait : {10'000u, 20'000u, 40'000u, 80'000u, 160'000u, 160'000u}) {
    policy.decide(need(time, CLOISTER_HARD, 0), programs);
    calm.time = time + wait - 1;
    EXPECT_TRUE(policy.decide(calm, programs).empty()) << wait;
    calm.time = time + wait;
    const auto turns = policy.decide(calm, programs);
    ASSERT_EQ(turns.size(), 1u) << wait;
    EXPECT_EQ(turns[0].limit, 232 * kMiB);
    time = calm.time + 1000;
  }
}

TEST(ReleasePolicyTest, TriesTwiceAsMuchEachTimeThatNobodyMinds) {
  ReleasePolicy policy(250);
  std::vector<ProgramState> programs = {program(200)};
  programs[0].limit = 200 * kMiB;
  Need calm = need(20'000, CLOISTER_AMPLE, 0);
  calm.available = 0;
  calm.usable = 4000 * kMiB;
  const auto rise = [&] {
    calm.time += 5000;
    const std::uint64_t before = programs[0].limit;
    for (const Turn& turn : policy.decide(calm, programs)) programs[0].limit = turn.limit;
    return (programs[0].limit - before) / kMiB;
  };
  EXPECT_EQ(rise(), 32u);
  EXPECT_EQ(rise(), 64u);
  EXPECT_EQ(rise(), 128u);
  EXPECT_EQ(rise(), 128u);
  policy.decide(need(calm.time + 1, CLOISTER_HARD, 0), programs);
  calm.time += 20'000;
  EXPECT_EQ(rise(), 32u);
}

TEST(ReleasePolicyTest, RaisesNothingThatTheGuestHasNotFree) {
  ReleasePolicy policy(250);
  std::vector<ProgramState> programs = {program(200)};
  programs[0].limit = 200 * kMiB;
  Need calm = need(20'000, CLOISTER_AMPLE, 0);
  calm.usable = 40 * kMiB;
  const auto turns = policy.decide(calm, programs);
  ASSERT_EQ(turns.size(), 1u);
  EXPECT_EQ(turns[0].limit, 210 * kMiB);
}

}  // namespace
}  // namespace cloister::agent
