// SPDX-License-Identifier: Apache-2.0
#include "memory/page_walk.h"

#include <gtest/gtest.h>

#include <vector>

namespace cloister::memory {
namespace {

TEST(PageWalk, NamesEachOnceARound) {
  for (const u64 count : {1u, 2u, 3u, 7u, 8u, 9u, 1000u, 1024u, 1025u}) {
    PageWalk walk(count, 42);
    for (int round = 0; round < 3; ++round) {
      std::vector<bool> seen(count);
      for (u64 i = 0; i < count; ++i) {
        const u64 one = walk.next();
        ASSERT_LT(one, count);
        EXPECT_FALSE(seen[one]) << one << " of " << count;
        seen[one] = true;
      }
    }
  }
}

TEST(PageWalk, GoesAnotherWayEachRound) {
  PageWalk walk(1000, 1);
  std::vector<u64> first, second;
  for (int i = 0; i < 1000; ++i) first.push_back(walk.next());
  for (int i = 0; i < 1000; ++i) second.push_back(walk.next());
  EXPECT_NE(first, second);
}

TEST(PageWalk, NeighboursSeldomFollowEachOther) {
  PageWalk walk(4096, 7);
  u64 last = walk.next(), close = 0;
  for (int i = 1; i < 4096; ++i) {
    const u64 next = walk.next();
    close += next - last + 16 < 32 ? 1 : 0;
    last = next;
  }
  EXPECT_LT(close, 400u);
}

}  // namespace
}  // namespace cloister::memory
