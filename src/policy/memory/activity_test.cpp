// SPDX-License-Identifier: Apache-2.0
#include "policy/memory/activity.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "base/random.h"

namespace cloister::policy::memory {
namespace {

constexpr Nanos kSecond{1'000'000'000};
constexpr Nanos seconds(u64 count) { return {count * kSecond.raw}; }

void run_periods(ActivityEstimator& estimator, u32 periods, u32 touched) {
  for (u32 i = 0; i < periods; ++i) {
    estimator.begin({}, {});
    estimator.end(touched);
  }
}

TEST(Activity, IsTheWholeUntilTheFirstPeriodEnds) {
  ActivityEstimator estimator;
  estimator.begin({}, {});
  estimator.note(3);
  EXPECT_EQ(estimator.estimate(), Fraction::whole());
  estimator.end(40);
  EXPECT_EQ(estimator.estimate(), Fraction::percent(40));
}

TEST(Activity, RisesWithinThePeriod) {
  ActivityEstimator estimator;
  run_periods(estimator, 20, 10);
  estimator.begin({}, {});
  EXPECT_EQ(estimator.estimate(), Fraction::percent(10));
  estimator.note(80);
  EXPECT_EQ(estimator.estimate(), Fraction::percent(45));  // half old, half new
}

TEST(Activity, FallsSlowly) {
  ActivityEstimator estimator;
  run_periods(estimator, 1, 80);
  run_periods(estimator, 1, 0);
  EXPECT_EQ(estimator.estimate(), Fraction::percent(72));
  EXPECT_EQ(estimator.fast(), Fraction::percent(40));
  run_periods(estimator, 60, 0);
  EXPECT_EQ(estimator.estimate(), Fraction::percent(1));  // the floor
}

TEST(Activity, RemembersForHowLongMemoryHasBeenIdle) {
  ActivityEstimator estimator;
  run_periods(estimator, 1, 90);
  run_periods(estimator, 30, 20);
  const Activity activity = estimator.activity();
  EXPECT_LT(activity.within[0], Fraction::percent(25));
  EXPECT_LT(activity.within[4], Fraction::percent(25));  // 16 periods
  EXPECT_EQ(activity.within[5], Fraction::percent(90));  // 32 periods
  EXPECT_TRUE(std::is_sorted(activity.within.begin(), activity.within.end()));
  run_periods(estimator, 40, 20);
  EXPECT_LT(estimator.activity().within[6], Fraction::percent(25));
}

TEST(Activity, CountsPeriodsByRunTimeUpToACeilingOfWallTime) {
  ActivityEstimator estimator;
  estimator.begin(seconds(100), seconds(500));
  EXPECT_FALSE(estimator.is_over(seconds(129), seconds(530)));
  EXPECT_TRUE(estimator.is_over(seconds(130), seconds(530)));
  EXPECT_FALSE(estimator.is_over(seconds(100), seconds(559)));
  EXPECT_TRUE(estimator.is_over(seconds(100), seconds(560)));
}

TEST(Activity, TakesNewSettingsFromTheNextPeriodOn) {
  ActivityEstimator estimator;
  run_periods(estimator, 1, 50);
  estimator.begin({}, {});
  ActivitySettings settings;
  settings.samples = 10;
  estimator.change(settings);
  estimator.note(100);
  estimator.end(50);
  EXPECT_EQ(estimator.estimate(), Fraction::percent(50));
  run_periods(estimator, 1, 10);
  EXPECT_EQ(estimator.fast(), Fraction::percent(75));
}

TEST(StandardError, IsFivePointsAtOneHalfWithAHundredSamples) {
  EXPECT_EQ(standard_error(Fraction::percent(50), 100), Fraction::percent(5));
  EXPECT_EQ(standard_error(Fraction::percent(50), 400).raw, 25'000u);
  EXPECT_EQ(standard_error(Fraction::percent(0), 100).raw, 0u);
  EXPECT_EQ(standard_error(Fraction::percent(20), 100), Fraction::percent(4));
}

// The mean square of what samples say less what is true, over many periods, is the square of the error.
TEST(StandardError, IsWhatSamplingReallyErrsBy) {
  constexpr u64 kPeriods = 20'000;
  const u64 seed = 0x0501'2002;
  fmt::print("seed {}\n", seed);
  Random random(seed);
  for (const u32 percent : {5u, 20u, 50u, 90u}) {
    u64 squares = 0;  // in points^2
    for (u64 period = 0; period < kPeriods; ++period) {
      u32 touched = 0;
      for (int i = 0; i < 100; ++i) touched += random.below(100) < percent;
      const i64 off = i64{touched} - i64{percent};
      squares += static_cast<u64>(off * off);
    }
    const u64 error = standard_error(Fraction::percent(percent), 100).raw;  // in 1/10,000 points
    const u64 predicted = error * error / 10'000 * kPeriods / 10'000;
    EXPECT_NEAR(static_cast<double>(squares), static_cast<double>(predicted),
                0.05 * static_cast<double>(predicted));
  }
}

TEST(Activity, UsesAPartOfAUnitAsAWholeOne) {
  EXPECT_EQ(Activity::of(Fraction::percent(1)).usage({1}).active(), Units{1});
  EXPECT_EQ(Activity::of(Fraction::percent(10)).usage({1000}).active(), Units{100});
}

}  // namespace
}  // namespace cloister::policy::memory
