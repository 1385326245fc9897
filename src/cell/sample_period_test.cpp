// SPDX-License-Identifier: Apache-2.0
#include "cell/sample_period.h"

#include <gtest/gtest.h>

namespace cloister::cell {
namespace {

constexpr Nanos kPeriod{30}, kLongest{60};

// Of a period that began at 100 by each clock.
bool is_over(u64 ran, u64 waited, u64 wall) {
  SamplePeriod period;
  period.begin({{100}, {100}, {100}});
  return period.is_over({{100 + ran}, {100 + waited}, {100 + wall}}, kPeriod, kLongest);
}

TEST(SamplePeriod, BeginsWhenItIsToldTo) {
  SamplePeriod period;
  EXPECT_FALSE(period.has_begun());
  period.begin({{}, {}, {1}});
  EXPECT_TRUE(period.has_begun());
}

TEST(SamplePeriod, EndsByTheGuestsRunTime) {
  EXPECT_FALSE(is_over(29, 0, 40));
  EXPECT_TRUE(is_over(30, 0, 40));
}

TEST(SamplePeriod, EndsByTheWallsClockWhereTheGuestHardlyRuns) {
  EXPECT_FALSE(is_over(1, 0, 59));
  EXPECT_TRUE(is_over(1, 0, 60));
}

TEST(SamplePeriod, LastsLongerByWhatTheGuestWaitedForPages) {
  EXPECT_FALSE(is_over(39, 10, 40));
  EXPECT_TRUE(is_over(40, 10, 41));
  EXPECT_FALSE(is_over(65, 60, 70));
  EXPECT_TRUE(is_over(95, 65, 100));
}

TEST(SamplePeriod, OneThatOnlyWaitsEndsToo) {
  EXPECT_FALSE(is_over(470, 470, 470));
  EXPECT_TRUE(is_over(480, 480, 480));
}

TEST(SamplePeriod, DevicesMayHaveWaitedLongerThanHartsRan) { EXPECT_FALSE(is_over(20, 50, 40)); }

}  // namespace
}  // namespace cloister::cell
