// SPDX-License-Identifier: Apache-2.0
#include "agent/balloon_policy.h"

#include <cloister/guest_abi.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "agent/limits.h"

namespace cloister::agent {
namespace {

constexpr std::uint64_t kMiB = 1 << 20;

// A guest with 1 GiB that looks ten times a second.
class Guest {
 public:
  Guest() {
    signs.total = 1024 * kMiB;
    signs.available = 900 * kMiB;
    bounds.most = 665 * kMiB;
  }
  Step look(std::uint64_t passes = 100) {
    signs.counted = signs.time += passes;
    const Step step = policy.decide(signs, wish, bounds, held);
    held += step.grow;
    held -= step.shrink;
    signs.available += step.shrink;
    signs.available -= step.grow;
    return step;
  }
  // Looks until nothing is done any more.
  Step settle() {
    Step step;
    do step = look();
    while (step.grow != 0 || step.shrink != 0);
    return step;
  }
  void swap_of(std::uint64_t bytes) { signs.swap_total = signs.swap_free = bytes; }

  Signs signs;
  Wish wish;
  Bounds bounds;
  std::uint64_t held = 0;
  std::uint64_t due_in = 1000;  // the next look, where glances suffice until then
  BalloonPolicy policy;
};

TEST(BalloonPolicyTest, ReachesATargetThatTheGuestCanSpare) {
  Guest guest;
  guest.wish.target = 300 * kMiB;
  EXPECT_EQ(guest.settle().reason, static_cast<std::uint32_t>(CLOISTER_BALLOON_MET));
  EXPECT_EQ(guest.held, 300 * kMiB);
}

TEST(BalloonPolicyTest, NeverExceedsItsPartOfTheMachine) {
  Guest guest;
  guest.wish.target = 1024 * kMiB;
  EXPECT_EQ(guest.settle().reason, static_cast<std::uint32_t>(CLOISTER_BALLOON_LIMIT));
  EXPECT_EQ(guest.held, guest.bounds.most);
}

TEST(BalloonPolicyTest, StopsAboveTheFloorAndSaysWhy) {
  Guest guest;
  guest.signs.available = 200 * kMiB;
  guest.wish.target = 300 * kMiB;
  EXPECT_EQ(guest.settle().reason, static_cast<std::uint32_t>(CLOISTER_BALLOON_PRESSURE));
  EXPECT_GE(guest.signs.available, 64 * kMiB);
  EXPECT_LT(guest.signs.available, 67 * kMiB);
}

TEST(BalloonPolicyTest, GivesWayToABurstAndWaitsFiveSeconds) {
  Guest guest;
  guest.wish.target = 300 * kMiB;
  guest.settle();
  guest.signs.available = 10 * kMiB;
  EXPECT_GT(guest.look().shrink, 54 * kMiB);
  const std::uint64_t held = guest.held;
  guest.signs.available = 500 * kMiB;
  for (int i = 0; i < 49; ++i) EXPECT_EQ(guest.look().grow, 0u);
  EXPECT_EQ(guest.held, held);
  guest.settle();
  EXPECT_EQ(guest.held, 300 * kMiB);
}

TEST(BalloonPolicyTest, WaitsTwiceAsLongWhereGrowthIsSoonTooMuch) {
  Guest guest;
  guest.wish.target = 300 * kMiB;
  const auto quiet_after_too_much = [&] {
    guest.settle();
    guest.signs.available = 10 * kMiB;
    guest.look();
    const std::uint64_t begin = guest.signs.time;
    guest.signs.available = 600 * kMiB;
    while (guest.look().grow == 0) EXPECT_LT(guest.signs.time, begin + 100'000);
    return guest.signs.time - begin;
  };
  for (const std::uint64_t seconds : {5u, 10u, 20u, 40u, 80u, 80u})
    EXPECT_EQ(quiet_after_too_much(), seconds * 1000);
  guest.settle();
  for (int i = 0; i < 900; ++i) guest.look();
  EXPECT_EQ(quiet_after_too_much(), 5000u) << "that was long ago";
}

TEST(BalloonPolicyTest, TakesWhatIsFreeAtOnceAndCacheALittleAtATime) {
  Guest guest;
  guest.signs.free = 400 * kMiB;
  guest.wish.target = 600 * kMiB;
  Step step;
  for (; guest.signs.free > 64 * kMiB; guest.signs.free -= step.grow) {
    step = guest.look(1);
    ASSERT_GT(step.grow, 0u);
    EXPECT_LE(step.next, guest.signs.free - step.grow > 64 * kMiB ? 0u : 250u);
  }
  step = guest.look(1);
  EXPECT_EQ(step.grow, 32 * kMiB);
  EXPECT_GT(step.next, 0u);
  EXPECT_NE(guest.policy.glance(guest.signs.time + 200, 500 * kMiB), 0u);
  EXPECT_EQ(guest.policy.glance(guest.signs.time + 250, 500 * kMiB), 0u);
}

// What a burst has eaten since the last look is given besides: it will eat as much until the next.
TEST(BalloonPolicyTest, GivesTheMoreTheFasterMemoryFalls) {
  Guest slow, fast;
  for (Guest* one : {&slow, &fast}) {
    one->wish.target = 600 * kMiB;
    one->settle();
  }
  slow.signs.available = 40 * kMiB;
  slow.look();
  slow.signs.available = 20 * kMiB;
  fast.signs.available = 20 * kMiB;
  EXPECT_GT(fast.look().shrink, slow.look().shrink);
}

TEST(BalloonPolicyTest, GivesBackAtOnceWhatTheHostNoLongerWants) {
  Guest guest;
  guest.wish.target = 300 * kMiB;
  guest.settle();
  guest.wish.target = 100 * kMiB;
  EXPECT_EQ(guest.look().shrink, 200 * kMiB);
  guest.wish.target = 0;
  EXPECT_EQ(guest.look().shrink, 100 * kMiB);
}

TEST(BalloonPolicyTest, LeavesSmallDifferencesAlone) {
  Guest guest;
  guest.wish.target = 100 * kMiB;
  guest.settle();
  guest.wish.target = 101 * kMiB;
  EXPECT_EQ(guest.look().grow, 0u);
  guest.wish.target = 99 * kMiB;
  EXPECT_EQ(guest.look().shrink, 0u);
}

TEST(BalloonPolicyTest, WithSwapItMakesTheGuestSwap) {
  Guest guest;
  guest.swap_of(1024 * kMiB);
  guest.signs.available = 40 * kMiB;
  guest.wish.target = 100 * kMiB;
  EXPECT_GT(guest.look().grow, 0u);
}

TEST(BalloonPolicyTest, GivesWayWhenTheGuestThrashesAndNotForWaitingAlone) {
  Guest guest;
  guest.swap_of(1024 * kMiB);
  guest.wish.target = 300 * kMiB;
  guest.settle();
  guest.signs.stalled += 100'000;  // all of 100 ms
  EXPECT_EQ(guest.look(500).shrink, 0u);
  guest.signs.stalled += 250'000;
  guest.signs.swapped_out += 50 * kMiB;
  const Step step = guest.look(500);
  EXPECT_GE(step.shrink, 300 * kMiB / 8);
  EXPECT_EQ(step.reason, static_cast<std::uint32_t>(CLOISTER_BALLOON_PRESSURE));
}

TEST(BalloonPolicyTest, HoldsWhileTasksWaitALittle) {
  Guest guest;
  guest.look();
  guest.signs.stalled += 40'000;
  guest.wish.target = 300 * kMiB;
  EXPECT_EQ(guest.look(500).reason, static_cast<std::uint32_t>(CLOISTER_BALLOON_PRESSURE));
  EXPECT_EQ(guest.held, 0u);
  EXPECT_EQ(guest.look(500).reason, static_cast<std::uint32_t>(CLOISTER_BALLOON_WORKING));
}

TEST(BalloonPolicyTest, SwapThatIsNearlyFullIsNoSwap) {
  Guest guest;
  guest.swap_of(1024 * kMiB);
  guest.signs.swap_free = 50 * kMiB;
  guest.signs.available = 40 * kMiB;
  guest.wish.target = 100 * kMiB;
  EXPECT_EQ(guest.look().grow, 0u);
}

TEST(BalloonPolicyTest, KeepsToARate) {
  Guest guest;
  guest.wish = {600 * kMiB, 100 * kMiB};
  const std::uint64_t begin = guest.signs.time;
  while (guest.held < 300 * kMiB) guest.look(10);
  EXPECT_GE(guest.signs.time - begin, 2000u);
  EXPECT_LE(guest.signs.time - begin, 3500u);
}

TEST(BalloonPolicyTest, AGroupsLimitIsALimit) {
  Guest guest;
  guest.wish.target = 300 * kMiB;
  guest.bounds.room = kMiB;
  EXPECT_EQ(guest.look().reason, static_cast<std::uint32_t>(CLOISTER_BALLOON_LIMIT));
  guest.bounds.room = 20 * kMiB;
  EXPECT_EQ(guest.look().grow, 20 * kMiB);
}

// A burst of 512 MiB a second takes all that is free, and then what was cache until then.
TEST(BalloonPolicyTest, NoBurstFallsBelowTheFloorUnseenByGlances) {
  for (const std::uint64_t cache : {0u, 20u, 100u}) {
    Guest guest;
    guest.signs.available = 500 * kMiB;
    guest.wish.target = 390 * kMiB;
    guest.settle();
    ASSERT_EQ(guest.held, 390 * kMiB);
    guest.signs.kept = 40 * kMiB;
    guest.signs.free = guest.signs.available - cache * kMiB + guest.signs.kept;
    std::uint64_t next = guest.look().next, looks = 0, least = 0;
    while (guest.held == 390 * kMiB) {
      const std::uint64_t eaten = std::min(guest.signs.available, next * 512 * 1024);
      guest.signs.available -= eaten;
      guest.signs.free = std::max(guest.signs.free - std::min(guest.signs.free, eaten), guest.signs.kept);
      next = guest.policy.glance(guest.signs.time += next, guest.signs.free);
      if (next != 0) continue;
      least = guest.signs.available;
      next = guest.look(0).next;
      ++looks;
    }
    EXPECT_GT(least, 16 * kMiB) << cache;
    EXPECT_LE(looks, 2 + cache / 10) << "what is free needs no look";
  }
}

// All of what the balloon has, by a burst that leaves it no hart for 30 ms at each turn, and 10 more until
// what it gave is there.
TEST(BalloonPolicyTest, ABurstDoesNotOutrunABalloonThatComesLate) {
  for (const std::uint64_t speed : {256u, 512u, 768u}) {  // KiB a millisecond
    Guest guest;
    guest.signs.total = 448 * kMiB;
    guest.signs.available = 400 * kMiB;
    guest.wish.target = 160 * kMiB;
    guest.settle();
    ASSERT_EQ(guest.held, 160 * kMiB);
    const auto eat = [&](std::uint64_t milliseconds) {
      const std::uint64_t eaten = std::min(milliseconds * speed * 1024, guest.signs.available);
      guest.signs.available -= eaten;
      guest.signs.free = guest.signs.available;
    };
    eat(0);
    std::uint64_t wait = guest.look().next;
    while (guest.held > 0) {
      eat(wait + 30);
      wait = guest.policy.glance(guest.signs.time += wait + 30, guest.signs.free);
      if (wait != 0) continue;
      eat(10);
      ASSERT_GT(guest.signs.available, 0u) << guest.held / kMiB << " MiB in the balloon, at " << speed;
      wait = guest.look(10).next;
      guest.signs.free = guest.signs.available;
    }
  }
}

TEST(BalloonPolicyTest, ItsOwnGrowthIsNoBurst) {
  Guest guest;
  guest.signs.available = 250 * kMiB;
  guest.wish.target = 600 * kMiB;
  for (int i = 0; i < 20; ++i) EXPECT_EQ(guest.look(20).shrink, 0u) << i;
  EXPECT_LT(guest.signs.available, 67 * kMiB);
}

TEST(BalloonPolicyTest, LooksOnceASecondWhileNothingHappens) {
  Guest guest;
  guest.signs.available = 500 * kMiB;
  guest.wish.target = 420 * kMiB;
  guest.settle();
  guest.signs.free = guest.signs.available;
  guest.look();
  const auto glances_until_look = [&] {
    std::uint64_t time = guest.signs.time, glances = 0;
    for (; const std::uint64_t wait = guest.policy.glance(time, guest.signs.free); time += wait) ++glances;
    EXPECT_EQ(time - guest.signs.time, guest.due_in);
    return glances;
  };
  EXPECT_GE(glances_until_look(), 10u);
  guest.signs.stalled += 10'000;
  guest.due_in = 250;
  guest.look(1000);
  EXPECT_GE(glances_until_look(), 3u) << "tasks have waited";
  guest.look(250);
  guest.due_in = 1000;
  glances_until_look();
  guest.wish.target = 600 * kMiB;
  guest.look(1000);
  guest.settle();
  guest.due_in = 250;
  guest.signs.free = guest.signs.available;
  guest.look();
  EXPECT_GE(glances_until_look(), 3u) << "it is smaller than it should be";
}

// The first look, a step that is to be gone on with, and one after giving way are no matter for a glance.
TEST(BalloonPolicyTest, NoGlanceTakesTheLookAfterAStepAway) {
  Guest guest;
  EXPECT_EQ(guest.policy.glance(1, 900 * kMiB), 0u);
  guest.signs.free = 900 * kMiB;
  guest.wish.target = 300 * kMiB;
  EXPECT_GT(guest.look().grow, 0u);
  EXPECT_EQ(guest.policy.glance(guest.signs.time, 800 * kMiB), 0u);
  guest.settle();
  guest.signs.available = 10 * kMiB;
  const Step step = guest.look();
  EXPECT_GT(step.shrink, 0u);
  EXPECT_EQ(guest.policy.glance(guest.signs.time + step.next, 800 * kMiB), 0u);
}

TEST(BalloonPolicyTest, WantsCountsOnceAWindow) {
  Guest guest;
  EXPECT_TRUE(guest.policy.wants_counts(0));
  guest.look();
  EXPECT_FALSE(guest.policy.wants_counts(guest.signs.time + 249));
  EXPECT_TRUE(guest.policy.wants_counts(guest.signs.time + 250));
  guest.wish.target = 300 * kMiB;
  guest.settle();
  guest.signs.available = 10 * kMiB;
  guest.signs.time += 100;
  guest.policy.decide(guest.signs, guest.wish, guest.bounds, guest.held);
  EXPECT_TRUE(guest.policy.wants_counts(guest.signs.time)) << "the old ones speak of the time before";
}

TEST(Signs, WhatTheKernelKeepsIsNoLessThanItIs) {
  Signs signs;
  read_memory(
      "MemTotal:         255396 kB\nMemFree:          223468 kB\nMemAvailable:     230920 kB\n"
      "Active(file):      8000 kB\nInactive(file):     4000 kB\nKReclaimable:        732 kB\n"
      "SwapTotal:          1000 kB\nSwapFree:            900 kB\n",
      signs);
  EXPECT_EQ(signs.total, 255'396u << 10);
  EXPECT_EQ(signs.free, 223'468u << 10);
  EXPECT_EQ(signs.available, 230'920u << 10);
  EXPECT_EQ(signs.kept, 5'280u << 10);
  EXPECT_EQ(signs.swap_free, 900u << 10);
  read_stalls("some avg10=0.00 avg60=0.00 avg300=0.00 total=1234\nfull avg10=0.00 total=99\n", signs);
  EXPECT_EQ(signs.stalled, 1234u);
  read_traffic(
      "pswpin 9\npswpout 3\nworkingset_refault_anon 2\nworkingset_refault_file 5\nworkingset_activate_file "
      "4\n",
      signs);
  EXPECT_EQ(signs.swapped_out, 3u * 4096);
  EXPECT_EQ(signs.refaulted, 7u * 4096);
  EXPECT_EQ(signs.missed, 4u * 4096);
  read_stalls("", signs);
  EXPECT_EQ(signs.stalled, 0u);
}

TEST(Signs, AGlanceSeesWhatALookSees) {
  SignReader reader;
  const std::uint64_t before = free_memory(), free = reader.read(SignReader::Extent::kMemory).free;
  const std::uint64_t after = free_memory();
  constexpr std::uint64_t kSlack = 64 << 20;  // others work meanwhile
  EXPECT_LT(free, std::max(before, after) + kSlack);
  EXPECT_GT(free + kSlack, std::min(before, after));
}

TEST(BalloonPolicyTest, LooksTheMoreOftenTheLessThereIs) {
  Guest guest;
  guest.wish.target = 100 * kMiB;
  guest.settle();
  const std::uint64_t relaxed = guest.look().next;
  guest.signs.available = 70 * kMiB;
  const std::uint64_t close = guest.look().next;
  EXPECT_GT(relaxed, close);
  // At 512 MiB a second the floor is not reached before the next look.
  EXPECT_LT(close * 512 / 1000, 70u - 32u);
}

// The sum over any day is within the band: it neither swings nor starves.
TEST(BalloonPolicyTest, DoesNotSwingUnderASteadyLoad) {
  Guest guest;
  guest.signs.available = 250 * kMiB;
  guest.wish.target = 600 * kMiB;
  guest.settle();
  const std::uint64_t held = guest.held;
  for (int i = 0; i < 1000; ++i) {
    const Step step = guest.look(200);
    EXPECT_EQ(step.grow + step.shrink, 0u);
  }
  EXPECT_EQ(guest.held, held);
}

TEST(GroupLimits, NoGroupIsNoLimit) {
  EXPECT_EQ(room_in_groups("", "/nowhere"), UINT64_MAX);
  EXPECT_EQ(room_in_groups("0::/a/b\n", "/nowhere"), UINT64_MAX);
}

// A reader whose cache is a little too small waits little, and works much.
TEST(BalloonPolicyTest, WhatIsMissedCountsWithoutWaiting) {
  Guest guest;
  guest.wish.target = 300 * kMiB;
  guest.settle();
  const auto miss = [&](std::uint64_t bytes) {
    guest.signs.missed += bytes;
    return guest.look(500);
  };
  EXPECT_EQ(miss(7 * kMiB).shrink, 0u);
  guest.wish.target = 400 * kMiB;
  EXPECT_EQ(miss(7 * kMiB).grow, 0u) << "enough to hold";
  EXPECT_GT(miss(kMiB).grow, 0u);
  guest.settle();
  EXPECT_EQ(miss(20 * kMiB).shrink, 400 * kMiB / 8);
  guest.wish.read_back = 200 * kMiB;
  EXPECT_EQ(miss(20 * kMiB).shrink, 0u) << "the host reads more back";
}

// What the balloon does not bring, force does.
TEST(BalloonPolicyTest, WaitingDoesNotCountWhileTheHostReadsMoreBack) {
  Guest guest;
  guest.swap_of(1024 * kMiB);
  guest.wish = {.target = 300 * kMiB, .rate = 0, .read_back = 160 * kMiB};
  guest.look();
  const auto thrash = [&](std::uint64_t bytes) {
    guest.signs.stalled += 200'000;
    guest.signs.refaulted += bytes;
    return guest.look(500);
  };
  EXPECT_GT(thrash(10 * kMiB).grow, 0u);
  guest.wish.target = 400 * kMiB;
  EXPECT_EQ(thrash(25 * kMiB).grow, 0u);
  EXPECT_GT(thrash(25 * kMiB).shrink, 0u);
  EXPECT_LT(guest.held, 300 * kMiB);
}

}  // namespace
}  // namespace cloister::agent
