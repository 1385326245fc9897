// SPDX-License-Identifier: Apache-2.0
#include "cell/condition.h"

#include <gtest/gtest.h>

namespace cloister::cell {
namespace {

using memory::PageState;
using policy::memory::HostState;
using News = MemoryCondition::News;

constexpr u64 kConfigured = 100'000;

struct ConditionTest : ::testing::Test {
  News update() {
    facts.now += Nanos{1'000'000'000};
    ++facts.ticks;
    return condition.update(facts);
  }
  void stand(HostState state, u64 target) {
    condition.stand({static_cast<u32>(state), 0, kConfigured / 2, target});
  }
  Pages& in(PageState state) { return facts.usage.in_state[static_cast<int>(state)]; }
  const cloister_condition& record() const { return condition.record(); }

  MemoryCondition condition{Bytes{kConfigured * kPageSize}};
  MemoryCondition::Facts facts;
};

TEST_F(ConditionTest, WithoutADaemonMemoryIsAmple) {
  facts.usage.frames = {70'000};
  EXPECT_EQ(update(), News::kNone);
  EXPECT_EQ(record().level, u32{CLOISTER_AMPLE});
  EXPECT_EQ(record().configured, kConfigured * kPageSize);
  EXPECT_EQ(record().target, kConfigured * kPageSize);
  EXPECT_EQ(record().entitlement, kConfigured * kPageSize);
  EXPECT_EQ(record().held, 70'000 * kPageSize);
  EXPECT_EQ(record().gap, 0u);
  EXPECT_EQ(record().available, 30'000 * kPageSize);
  EXPECT_EQ(record().time, 1u);
}

TEST_F(ConditionTest, ALevelIsCountedAndToldAndSoIsATarget) {
  facts.usage.frames = {70'000};
  update();
  stand(HostState::kHard, 50'000);
  EXPECT_EQ(update(), News::kLevel);
  EXPECT_EQ(record().level, u32{CLOISTER_HARD});
  EXPECT_EQ(record().changes, 1u);
  EXPECT_EQ(record().gap, 20'000 * kPageSize);
  EXPECT_EQ(record().release, record().gap);
  stand(HostState::kHard, 49'000);
  EXPECT_EQ(update(), News::kTarget);
  EXPECT_EQ(update(), News::kNone);
  facts.standing_still = true;
  EXPECT_EQ(update(), News::kLevel);
  EXPECT_EQ(record().level, u32{CLOISTER_CRITICAL});
}

TEST_F(ConditionTest, WhileTheHostHasPlentyNothingIsToBeReleased) {
  facts.usage.frames = {70'000};
  stand(HostState::kHigh, 50'000);
  condition.set_deadline(900);
  update();
  EXPECT_EQ(record().gap, 20'000 * kPageSize);
  EXPECT_EQ(record().release, 0u);
  EXPECT_EQ(record().deadline, 0u);
  stand(HostState::kSoft, 50'000);
  update();
  EXPECT_EQ(record().deadline, 900u);
}

TEST_F(ConditionTest, TheDeathOfTheApplicationsIsTheEndOfTheBalloon) {
  in(PageState::kBalloonValue) = {5'000};
  update();
  EXPECT_EQ(record().balloon, 5'000 * kPageSize) << "given by programs that nobody knows";
  facts.balloon.applications = 1;
  facts.balloon.held = 4'000 * kPageSize;
  update();
  EXPECT_EQ(record().balloon, 4'000 * kPageSize);
  facts.balloon.held = 9'000 * kPageSize;
  update();
  EXPECT_EQ(record().balloon, 5'000 * kPageSize) << "its word is not enough";
  facts.balloon = {};
  update();
  EXPECT_EQ(record().balloon, 0u);
}

TEST_F(ConditionTest, WhatForceTookAndTheGuestReadsBackIsToBeReleased) {
  stand(HostState::kHigh, 50'000);
  facts.usage.frames = {50'000};
  in(PageState::kSwapped) = {9'000};
  in(PageState::kCompressed) = {1'000};
  update();
  EXPECT_EQ(record().level, u32{CLOISTER_AMPLE}) << "nobody wants it";
  facts.swapped_in = {1000};
  EXPECT_EQ(update(), News::kLevel);
  EXPECT_EQ(record().level, u32{CLOISTER_HARD});
  EXPECT_EQ(record().gap, 0u);
  EXPECT_EQ(record().release, 5'000 * kPageSize);
}

// 2,048 pages a second for some time; a guest that wakes up has all of its packed pages back in a moment.
TEST_F(ConditionTest, PackedPagesThatComeBackAllTheTimeAreTooManyAnEighthOfThemEach) {
  stand(HostState::kHigh, 50'000);
  facts.usage.frames = {50'000};
  in(PageState::kCompressed) = {10'000};
  update();
  facts.usage.unpacked = {20'000};
  update();
  EXPECT_EQ(record().level, u32{CLOISTER_AMPLE}) << "it woke up";
  for (int second = 0; second < 60; ++second) {
    facts.usage.unpacked += Pages{1000};
    update();
  }
  EXPECT_EQ(record().level, u32{CLOISTER_AMPLE}) << "so few cost next to nothing";
  for (int second = 0; second < 60; ++second) {
    facts.usage.unpacked += Pages{2500};
    update();
  }
  EXPECT_EQ(record().level, u32{CLOISTER_HARD});
  EXPECT_TRUE(condition.is_short());
  EXPECT_GT(record().release, 2000 * kPageSize);
  EXPECT_LT(record().release, 3200 * kPageSize);
  EXPECT_EQ(record().swap_in_rate, 0u) << "the programs' gate is for what comes from swap";
}

// Where swap is slow, so few pages that they would be nothing elsewhere.
TEST_F(ConditionTest, WaitingForThemAQuarterOfTheTimeIsStandingStill) {
  stand(HostState::kHigh, 50'000);
  facts.usage.frames = {50'000};
  in(PageState::kSwapped) = {9'000};
  for (int second = 0; second < 10; ++second) {
    facts.swapped_in += Pages{300};
    facts.ran += Nanos{900'000'000};
    facts.usage.waited += Nanos{u64{second < 5 ? 100u : 500u} * 1'000'000};
    update();
    EXPECT_EQ(record().level == CLOISTER_CRITICAL, second > 4) << second;
    EXPECT_EQ(condition.is_short(), second > 2) << second;
  }
}

TEST_F(ConditionTest, RatesAreInBytesASecond) {
  update();
  facts.swapped_in = {1000};
  facts.balloon_written = {500};
  update();
  EXPECT_EQ(record().swap_in_rate, 500 * kPageSize) << "averaged over two seconds";
  EXPECT_EQ(record().page_out_rate, 250 * kPageSize);
  EXPECT_EQ(condition.page_out_rate(), 250u);
}

}  // namespace
}  // namespace cloister::cell
