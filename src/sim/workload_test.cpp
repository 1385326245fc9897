// SPDX-License-Identifier: Apache-2.0
#include "sim/workload.h"

#include <gtest/gtest.h>

namespace cloister::sim {
namespace {

TEST(Workload, FollowsItsSteps) {
  WorkloadSpec spec;
  spec.points = {{seconds(10), {100}}, {seconds(20), {50}}};
  Workload work(spec, 1);
  EXPECT_EQ(work.at({}), Units{0});
  EXPECT_EQ(work.at(seconds(10)), Units{100});
  EXPECT_TRUE(work.jumped());
  EXPECT_EQ(work.at(seconds(19)), Units{100});
  EXPECT_FALSE(work.jumped());
  EXPECT_EQ(work.at(seconds(100)), Units{50});
}

TEST(Workload, OfEveryShapeStaysBetweenLowAndHighAndReachesBoth) {
  for (const Shape shape : {Shape::kWave, Shape::kBursts, Shape::kWalk}) {
    Workload work({shape, {}, {100}, {900}, minutes(1)}, 7);
    Units least{1'000}, most{};
    for (u64 second = 0; second < 20'000; second += 5) {
      const Units level = work.at(seconds(second));
      least = std::min(least, level);
      most = std::max(most, level);
    }
    EXPECT_GE(least, Units{100});
    EXPECT_LE(most, Units{900});
    EXPECT_LT(least, Units{220});
    EXPECT_GT(most, Units{780});
  }
}

TEST(Workload, IsTheSameForTheSameSeed) {
  const WorkloadSpec spec{Shape::kWalk, {}, {0}, {10'000}, seconds(1)};
  Workload one(spec, 3), same(spec, 3), other(spec, 4);
  bool differs = false;
  for (u64 second = 0; second < 100; ++second) {
    const Units level = one.at(seconds(second));
    EXPECT_EQ(level, same.at(seconds(second)));
    differs = differs || level != other.at(seconds(second));
  }
  EXPECT_TRUE(differs);
}

}  // namespace
}  // namespace cloister::sim
