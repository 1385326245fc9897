// SPDX-License-Identifier: Apache-2.0
#include "host/vault.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "base/random.h"

namespace cloister::host {
namespace {

std::vector<std::byte> page_of(u64 value) {
  std::vector<std::byte> page(kPageSize);
  std::fill(page.begin(), page.end(), static_cast<std::byte>(value));
  return page;
}

TEST(Vault, AFrameStaysAsLongAsSomebodyRefersToIt) {
  auto vault = Vault::create("test", Pages{4});
  ASSERT_TRUE(vault.ok());
  const auto frame = vault->put(7, page_of(7));
  ASSERT_TRUE(frame.has_value());
  EXPECT_EQ(vault->find(7), frame);
  vault->refer(1, *frame);
  vault->refer(2, *frame);
  Pages freed;
  EXPECT_TRUE(vault->release(1, *frame, freed));
  EXPECT_EQ(freed, Pages{0});
  EXPECT_TRUE(vault->release(2, *frame, freed));
  EXPECT_EQ(freed, Pages{1});
  EXPECT_FALSE(vault->find(7).has_value());
  vault->check_invariants();
}

TEST(Vault, NobodyGivesBackWhatHeWasNotGiven) {
  auto vault = Vault::create("test", Pages{4});
  const auto frame = vault->put(7, page_of(7));
  vault->refer(1, *frame);
  Pages freed;
  EXPECT_FALSE(vault->release(2, *frame, freed));
  EXPECT_FALSE(vault->release(1, 99, freed));
  EXPECT_TRUE(vault->release(1, *frame, freed));
  EXPECT_FALSE(vault->release(1, *frame, freed));
}

TEST(Vault, TakesNoMoreThanItHolds) {
  auto vault = Vault::create("test", Pages{2});
  EXPECT_TRUE(vault->put(1, page_of(1)).has_value());
  EXPECT_TRUE(vault->put(2, page_of(2)).has_value());
  EXPECT_FALSE(vault->put(3, page_of(3)).has_value());
  EXPECT_EQ(vault->drop_unreferred(0), Pages{1});
  EXPECT_TRUE(vault->put(3, page_of(3)).has_value());
}

TEST(Vault, CountsReferencesWhateverHappens) {
  constexpr u64 kSeed = 3;
  SCOPED_TRACE(kSeed);
  Random random(kSeed);
  auto vault = Vault::create("test", Pages{64});
  Pages freed;
  u64 put = 0;
  for (int step = 0; step < 20'000; ++step) {
    const u64 hash = random.below(80);
    const auto frame = vault->find(hash);
    switch (random.below(6)) {
      case 0:
        put += vault->put(hash, page_of(hash)).has_value() ? 1 : 0;
        break;
      case 1:
        if (random.one_in(20)) freed += vault->release_all(random.below(5));
        break;
      case 2:
      case 3:
        if (frame) vault->refer(random.below(5), *frame);
        break;
      default:
        if (frame) (void)vault->release(random.below(5), *frame, freed);
    }
    if (step % 32 == 0) vault->check_invariants();
  }
  EXPECT_EQ(put, freed.raw + vault->used().raw);
}

}  // namespace
}  // namespace cloister::host
