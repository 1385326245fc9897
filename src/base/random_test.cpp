// SPDX-License-Identifier: Apache-2.0
#include "base/random.h"

#include <gtest/gtest.h>

namespace cloister {
namespace {

TEST(Random, OneSeedGivesOneSequence) {
  Random a(7), b(7), c(8);
  const u64 first = a.next();
  EXPECT_EQ(first, b.next());
  EXPECT_NE(first, c.next());
}

TEST(Random, BelowReachesEveryValueAndNothingElse) {
  Random random(1);
  int seen[10] = {};
  for (int i = 0; i < 10000; ++i) ++seen[random.below(10)];
  for (int count : seen) EXPECT_NEAR(count, 1000, 200);
}

}  // namespace
}  // namespace cloister
