// SPDX-License-Identifier: Apache-2.0
#include "host/ledger.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/random.h"

namespace cloister::host {
namespace {

TEST(Ledger, GivesNoMoreThanIsFree) {
  Ledger ledger(Pages{100});
  const auto a = ledger.open(), b = ledger.open();
  EXPECT_EQ(ledger.take(a, Pages{70}), Pages{70});
  EXPECT_EQ(ledger.take(b, Pages{70}), Pages{30});
  EXPECT_EQ(ledger.take(b, Pages{1}), Pages{0});
  EXPECT_EQ(ledger.free(), Pages{0});
}

TEST(Ledger, AClosedAccountGivesBackAllThatItHeld) {
  Ledger ledger(Pages{100});
  const auto a = ledger.open();
  ledger.take(a, Pages{40});
  ledger.measure(a, Pages{5});
  EXPECT_EQ(ledger.free(), Pages{55});
  ledger.close(a);
  EXPECT_EQ(ledger.free(), Pages{100});
  EXPECT_FALSE(ledger.has(a));
}

TEST(Ledger, RefusesToTakeBackWhatWasNeverGiven) {
  Ledger ledger(Pages{100});
  const auto a = ledger.open();
  ledger.take(a, Pages{10});
  EXPECT_FALSE(ledger.give_back(a, Pages{11}));
  EXPECT_FALSE(ledger.give_back(a, Pages{~u64{0}}));
  EXPECT_EQ(ledger.account(a).held, Pages{10});
  EXPECT_TRUE(ledger.give_back(a, Pages{10}));
  EXPECT_EQ(ledger.free(), Pages{100});
}

TEST(Ledger, OverheadThatFindsNothingFreeIsADebtWhichComesFirst) {
  Ledger ledger(Pages{100});
  const auto a = ledger.open();
  ledger.take(a, Pages{100});
  ledger.measure(a, Pages{8});
  EXPECT_EQ(ledger.debt(), Pages{8});
  EXPECT_TRUE(ledger.give_back(a, Pages{6}));
  EXPECT_EQ(ledger.free(), Pages{0});
  EXPECT_TRUE(ledger.give_back(a, Pages{6}));
  EXPECT_EQ(ledger.free(), Pages{4});
  EXPECT_EQ(ledger.debt(), Pages{0});
}

TEST(Ledger, ACellThatOutlivedTheDaemonKeepsWhatItHolds) {
  Ledger ledger(Pages{100});
  const auto a = ledger.open(Pages{60});
  const auto b = ledger.open(Pages{60});  // the pool was made smaller meanwhile
  EXPECT_EQ(ledger.debt(), Pages{20});
  ledger.close(a);
  EXPECT_EQ(ledger.free(), Pages{40});
  ledger.close(b);
  EXPECT_EQ(ledger.free(), Pages{100});
}

// Takes, returns, deaths, measurements and resizes in any order.
TEST(Ledger, ConservesFramesWhateverHappens) {
  constexpr u64 kSeed = 20260401;
  SCOPED_TRACE(kSeed);
  Random random(kSeed);
  Ledger ledger(Pages{100'000});
  std::vector<Ledger::AccountId> accounts;
  for (int step = 0; step < 200'000; ++step) {
    const u64 what = random.below(20);
    if (accounts.empty() || what == 0) {
      accounts.push_back(ledger.open(Pages{random.one_in(4) ? random.below(1000) : 0}));
      continue;
    }
    const std::size_t index = random.below(accounts.size());
    const auto id = accounts[index];
    if (what == 1) {
      ledger.close(id);
      accounts.erase(accounts.begin() + static_cast<std::ptrdiff_t>(index));
    } else if (what == 2) {
      ledger.resize(Pages{50'000 + random.below(100'000)});
    } else if (what < 6) {
      ledger.measure(id, Pages{random.below(500)});
    } else if (what < 12) {
      const Pages before = ledger.free();
      const Pages wanted{random.below(5000)};
      EXPECT_EQ(ledger.take(id, wanted), std::min(wanted, before));
    } else {
      const Pages held = ledger.account(id).held;
      const Pages back{random.below(6000)};
      EXPECT_EQ(ledger.give_back(id, back), back <= held);
    }
    if (step % 64 == 0) ledger.check_invariants();
  }
  for (const auto id : accounts) ledger.close(id);
  EXPECT_EQ(ledger.free(), ledger.pool());
}

}  // namespace
}  // namespace cloister::host
