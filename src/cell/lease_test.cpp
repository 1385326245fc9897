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
