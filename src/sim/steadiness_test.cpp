// SPDX-License-Identifier: Apache-2.0
#include "sim/steadiness.h"

#include <gtest/gtest.h>

namespace cloister::sim {
namespace {

using policy::memory::Units;

// How many of the moves, ten seconds apart, were called swinging.
template <std::size_t count>
int alarms(const u64 (&targets)[count]) {
  Steadiness steadiness({10}, minutes(1));
  int found = 0;
  u64 second = 0;
  steadiness.excuse({targets[0]}, {});
  for (const u64 target : targets) found += steadiness.swings({target}, seconds(second += 10));
  return found;
}

TEST(Steadiness, HearsATargetThatSwings) { EXPECT_GT(alarms({100, 150, 100, 150, 100, 150}), 0); }

TEST(Steadiness, LetsATargetMoveOneWay) { EXPECT_EQ(alarms({100, 150, 200, 250, 300, 350, 400}), 0); }

TEST(Steadiness, LetsNoisePass) { EXPECT_EQ(alarms({100, 109, 101, 109, 100, 108, 102, 109}), 0); }

TEST(Steadiness, LetsATargetTurnOnceInAWhile) {
  Steadiness steadiness({10}, minutes(1));
  int found = 0;
  for (u64 turn = 0; turn < 20; ++turn)
    found += steadiness.swings({turn % 2 == 0 ? 100u : 200u}, minutes(2 * turn));
  EXPECT_EQ(found, 0);
}

TEST(Steadiness, ForgivesWhatWasExcused) {
  Steadiness steadiness({10}, minutes(1));
  int found = 0;
  for (u64 turn = 0; turn < 20; ++turn) {
    const Units target{turn % 2 == 0 ? 100u : 200u};
    if (turn % 2 == 0) steadiness.excuse(target, seconds(10 * turn));
    found += steadiness.swings(target, seconds(10 * turn));
  }
  EXPECT_EQ(found, 0);
}

}  // namespace
}  // namespace cloister::sim
