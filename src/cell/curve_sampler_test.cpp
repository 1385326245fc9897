// SPDX-License-Identifier: Apache-2.0
#include "cell/curve_sampler.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace cloister::cell {
namespace {

constexpr u64 kCurvePages = 16'384;
constexpr GuestPhys kCurveBase{0x8000'0000};
constexpr Nanos kSecond{1'000'000'000};

class CurveSamplerTest : public ::testing::Test {
 protected:
  void touch(u64 from, u64 to) {
    for (u64 page = from; page < to; ++page) {
      ASSERT_TRUE(memory->load<u64>(kCurveBase + page * kPageSize).has_value());
    }
  }
  std::unique_ptr<memory::GuestMemory> memory =
      memory::GuestMemory::create(kCurveBase, {kCurvePages * kPageSize}).take();
};

TEST_F(CurveSamplerTest, KnowsNothingBeforeTheSecondLook) {
  CurveSampler sampler(*memory, 1, 256);
  EXPECT_EQ(sampler.curve().references, 0u);
  touch(0, kCurvePages);
  sampler.look({});
  EXPECT_EQ(sampler.curve().references, 0u);
}

// A quarter of the memory is gone through again and again: with less than that all misses (in random order a
// part hits), with more nothing does but the first touches.
TEST_F(CurveSamplerTest, FindsTheSizeOfWhatIsUsedAgainAndAgain) {
  CurveSampler sampler(*memory, 1, 512);
  for (int round = 0; round < 60; ++round) {
    touch(0, kCurvePages / 4);
    sampler.look(kSecond);
  }
  const auto curve = sampler.curve();
  EXPECT_NEAR(static_cast<double>(curve.references), 1000.0 * kCurvePages / 4,
              1000.0 * kCurvePages / 4 * 0.2);
  EXPECT_GT(curve.misses[1], 300'000u) << "an eighth: half of the loop";
  EXPECT_LT(curve.misses[4], 60'000u) << "five sixteenths: all of the loop";
  EXPECT_TRUE(std::is_sorted(std::rbegin(curve.misses), std::rend(curve.misses)));
}

TEST_F(CurveSamplerTest, WatchesAllOfASmallMemory) {
  auto small = memory::GuestMemory::create(kCurveBase, {16 * kPageSize}).take();
  CurveSampler sampler(*small, 1, 256);
  for (int round = 0; round < 4; ++round) {
    ASSERT_TRUE(small->load<u64>(kCurveBase).has_value());
    sampler.look(kSecond);
  }
  EXPECT_EQ(sampler.curve().references, 1000u);
}

}  // namespace
}  // namespace cloister::cell
