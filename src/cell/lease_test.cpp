// SPDX-License-Identifier: Apache-2.0
#include "cell/lease.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "base/random.h"

namespace cloister::cell {
namespace {

// A daemon that has so many frames, and answers each piece of news at once.
struct Bank {
  explicit Bank(u64 frames) : free(frames) {}

  void settle() {
    for (;;) {
      const Lease::News news = lease.take_news();
      free += news.returned.raw;
      const u64 grant = std::min(news.ask ? news.wanted.raw : 0, free.load());
      if (grant == 0) return;
      free -= grant;
      lease.granted(Pages{grant});
    }
  }

  // The cell has so many frames in use, and no others.
  void has(u64 frames) {
    lease.granted(Pages{frames});
    free -= frames;
    ASSERT_EQ(lease.try_take(Pages{frames}), Pages{frames});
    (void)lease.take_news();
  }

  std::atomic<u64> free;
  Lease lease{[] {}};
};

TEST(Lease, GivesNothingThatWasNotGranted) {
  Bank bank(0);
  EXPECT_EQ(bank.lease.try_take(Pages{10}), Pages{0});
  const auto news = bank.lease.take_news();
  EXPECT_TRUE(news.ask);
  EXPECT_GE(news.wanted.raw, 1u);
}

TEST(Lease, AsksAheadSoThatSteadyGrowthNeverWaits) {
  Bank bank(100'000);
  bank.lease.try_take(Pages{1});
  bank.settle();
  for (int i = 0; i < 200; ++i) {
    EXPECT_EQ(bank.lease.try_take(Pages{64}), Pages{64}) << i;
    bank.settle();
  }
}

TEST(Lease, WhatIsOwedComesBackBeforeAnybodyGetsIt) {
  Bank bank(256);
  bank.lease.try_take(Pages{1});
  bank.settle();
  ASSERT_EQ(bank.lease.try_take(Pages{256}), Pages{256});
  (void)bank.lease.take_news();
  bank.lease.owe(Pages{100});
  EXPECT_EQ(bank.lease.owed(), Pages{100});
  bank.lease.give_back(Pages{60});
  EXPECT_EQ(bank.lease.owed(), Pages{40});
  EXPECT_EQ(bank.lease.try_take(Pages{10}), Pages{0});
  EXPECT_EQ(bank.lease.take_news().returned, Pages{60});
  bank.lease.give_back(Pages{50});
  EXPECT_EQ(bank.lease.owed(), Pages{0});
  EXPECT_EQ(bank.lease.try_take(Pages{10}), Pages{10});
  EXPECT_EQ(bank.lease.figures().held, Pages{156});
}

TEST(Lease, WhatIsSpareIsGivenUpAtOnce) {
  Bank bank(256);
  bank.lease.try_take(Pages{1});
  bank.settle();
  bank.lease.owe(Pages{200});
  EXPECT_EQ(bank.lease.owed(), Pages{0});
  EXPECT_EQ(bank.lease.take_news().returned, Pages{200});
}

// A balloon application that grows into memory without frames must have some, to have any to give.
TEST(Lease, AGuestThatOwesAndIsAskedKeepsALittleToWorkWith) {
  Bank bank(10'000);
  bank.has(6000);
  bank.lease.owe(Pages{4000}, Pages{4000});
  bank.lease.give_back(Pages{512});
  EXPECT_EQ(bank.lease.owed(), Pages{4000});
  EXPECT_EQ(bank.lease.missing(), Pages{4000 - 512});
  EXPECT_EQ(bank.lease.try_take(Pages{512}), Pages{512});
  bank.lease.give_back(Pages{512 + 3488});
  EXPECT_EQ(bank.lease.owed(), Pages{0}) << "what lies here pays the last of it";
  EXPECT_EQ(bank.lease.figures().held, Pages{2000});
}

TEST(Lease, WhatIsKeptOfADebtIsLittleAtATimeAndBoundedInAll) {
  Bank bank(30'000);
  bank.has(20'000);
  bank.lease.owe(Pages{10'000}, Pages{3000});
  bank.lease.give_back(Pages{2000});
  EXPECT_EQ(bank.lease.figures().held, Pages{20'000 - 976});
  // A guest that takes all that it can get has its loan, and afterwards as much as is paid, and no more.
  u64 back = 2000;
  for (; bank.lease.owed() != Pages{}; back += 64) {
    EXPECT_LE(bank.lease.try_take(Pages{5000}), Pages{1024});
    bank.lease.give_back(Pages{64});
  }
  EXPECT_LE(back, 2 * 10'000 + 3000u);
}

TEST(Lease, WhoWaitsWhileADebtIsPaidGetsHalf) {
  Bank bank(30'000);
  bank.has(20'000);
  bank.lease.owe(Pages{10'000});
  std::atomic<u64> got = 0;
  std::thread greedy([&] {
    for (u64 now = 1; now != 0; got += now) now = bank.lease.take(Pages{1}).raw;
  });
  for (int i = 0; i < 1000; ++i) {
    while (!bank.lease.waiting()) std::this_thread::yield();
    bank.lease.give_back(Pages{1});
    if (i % 2 == 0) continue;
    while (got < static_cast<u64>(i) / 2 + 1) std::this_thread::yield();
  }
  EXPECT_EQ(bank.lease.owed(), Pages{10'000 - 500});
  bank.lease.close();
  greedy.join();
}

TEST(Lease, AGuestThatFreesMuchGivesItBack) {
  Bank bank(100'000);
  for (u64 taken = 0; taken < 50'000;) {
    bank.settle();
    taken += bank.lease.try_take(Pages{1000}).raw;
  }
  bank.lease.give_back(Pages{50'000});
  bank.settle();
  EXPECT_LT(bank.lease.figures().held, Pages{20'000});
}

TEST(Lease, WhoWaitsGetsTheFrameThatComes) {
  Bank bank(0);
  Pages got;
  std::thread waiter([&] { got = bank.lease.take(Pages{5}); });
  while (!bank.lease.waiting()) std::this_thread::yield();
  bank.lease.granted(Pages{3});
  waiter.join();
  EXPECT_EQ(got, Pages{3});
}

TEST(Lease, NobodyWaitsForAClosedOne) {
  Bank bank(0);
  std::thread waiter([&] { EXPECT_EQ(bank.lease.take(Pages{5}), Pages{0}); });
  while (!bank.lease.waiting()) std::this_thread::yield();
  bank.lease.close();
  waiter.join();
}

TEST(Lease, AGreetingTellsAllThatIsHeldAndNothingTwice) {
  Bank bank(1000);
  bank.lease.try_take(Pages{1});
  bank.settle();
  bank.lease.try_take(Pages{100});
  bank.lease.give_back(Pages{50});
  bank.lease.owe(Pages{20});
  const Pages held = bank.lease.held_for_greeting();
  EXPECT_EQ(held, bank.lease.figures().held);
  EXPECT_EQ(bank.lease.take_news().returned, Pages{0});
}

// Harts, a housekeeper and a daemon, all at once.
TEST(Lease, ConservesFramesAmongThreads) {
  constexpr u64 kSeed = 5, kFrames = 20'000;
  SCOPED_TRACE(kSeed);
  Bank bank(kFrames);
  std::atomic<bool> end{false};
  std::vector<std::thread> harts;
  for (u64 id = 0; id < 3; ++id) {
    harts.emplace_back([&, id] {
      Random random(kSeed + id);
      u64 has = 0;
      while (!end) {
        if (random.one_in(2)) has += bank.lease.take(Pages{1 + random.below(300)}).raw;
        const u64 back = random.below(has + 1);
        if (back != 0) bank.lease.give_back(Pages{back});
        has -= back;
      }
      if (has != 0) bank.lease.give_back(Pages{has});
    });
  }
  Random random(kSeed);
  for (int i = 0; i < 3000; ++i) {
    bank.settle();
    if (random.one_in(8)) bank.lease.owe(Pages{random.below(2000)});
    std::this_thread::yield();
  }
  end = true;
  bank.lease.owe({});
  bank.lease.close();
  for (std::thread& hart : harts) hart.join();
  bank.free += bank.lease.take_news().returned.raw;
  EXPECT_EQ(bank.lease.figures().used, Pages{0});
  EXPECT_EQ(bank.free + bank.lease.figures().held.raw, kFrames);
}

}  // namespace
}  // namespace cloister::cell
