// SPDX-License-Identifier: Apache-2.0
#include "memory/sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "memory/testing_hart.h"
#include "memory/testing_host.h"

namespace cloister::memory {
namespace {

using namespace testing;
using ::testing::UnorderedElementsAre;

constexpr u64 kGuestPages = 10'000;

class SamplerTest : public ::testing::Test {
 protected:
  // A hart reads `touched` of the pages, spread over all of them.
  void touch(CachingHart& hart, u64 touched) {
    hart.enter();
    for (u64 page = 0; page < touched; ++page) hart.load(word_at(page * kGuestPages / touched, 0));
    hart.leave();
  }
  std::unique_ptr<GuestMemory> memory = GuestMemory::create(kBase, {kGuestPages * kPageSize}).take();
};

TEST_F(SamplerTest, CountsWhatAHartTouchedThoughItHadItCached) {
  CachingHart hart(*memory);
  touch(hart, kGuestPages);
  ActivitySampler sampler(*memory, 1);
  EXPECT_EQ(sampler.restart(100).sampled, 0u);
  EXPECT_EQ(sampler.so_far().touched, 0u);
  touch(hart, kGuestPages);
  EXPECT_EQ(sampler.so_far().touched, 100u);
  const auto period = sampler.restart(50);
  EXPECT_EQ(period.sampled, 100u);
  EXPECT_EQ(period.touched, 100u);
  EXPECT_EQ(sampler.so_far().touched, 0u);
}

TEST_F(SamplerTest, CountsWhatADeviceTouched) {
  ActivitySampler sampler(*memory, 1);
  sampler.restart(100);
  ASSERT_TRUE(memory->fill_zero(kBase, memory->size()));
  EXPECT_EQ(sampler.so_far().touched, 0u) << "zeros over zeros touch nothing";
  std::vector<std::byte> content(kGuestPages * kPageSize);
  ASSERT_TRUE(memory->read(kBase, content));
  EXPECT_EQ(sampler.so_far().touched, 100u);
}

// The standard error of n draws is sqrt(f (1 - f) / n): 5 points at a half with n = 100. Over 400 periods the
// spread that is found lies within a sixth of it, but for one run in a thousand.
TEST_F(SamplerTest, ErrsAsMuchAsPredicted) {
  const u64 seed = chosen_seed();
  for (const double fraction : {0.1, 0.5, 0.9}) {
    ActivitySampler sampler(*memory, seed);
    CachingHart hart(*memory);
    double sum = 0, squares = 0;
    constexpr int kPeriods = 400;
    sampler.restart(100);
    for (int i = 0; i < kPeriods; ++i) {
      touch(hart, static_cast<u64>(fraction * kGuestPages));
      const double found = sampler.restart(100).touched / 100.0;
      sum += found;
      squares += found * found;
    }
    const double mean = sum / kPeriods, error = std::sqrt(squares / kPeriods - mean * mean);
    const double predicted = std::sqrt(fraction * (1 - fraction) / 100);
    EXPECT_NEAR(mean, fraction, 4 * predicted / std::sqrt(kPeriods));
    EXPECT_NEAR(error, predicted, predicted / 6);
  }
}

TEST_F(SamplerTest, ReferencesAreThoseToTheChosenPages) {
  ReferenceSampler sampler(*memory, 5, [](u64 n) { return n % 16 == 3; });
  EXPECT_EQ(sampler.sampled(), kGuestPages / 16);
  CachingHart hart(*memory);
  sampler.take();
  EXPECT_TRUE(sampler.take().empty());
  touch(hart, kGuestPages);
  EXPECT_EQ(sampler.take().size(), sampler.sampled());
  hart.enter();
  for (const u64 n : {19u, 20u, 35u}) hart.load(word_at(n, 0));
  hart.leave();
  EXPECT_THAT(sampler.take(), UnorderedElementsAre(19, 35));
  EXPECT_TRUE(sampler.take().empty());
}

TEST_F(SamplerTest, PagesThatAreNoLongerChosenAreNoLongerWatched) {
  u64 limit = kGuestPages;
  ReferenceSampler sampler(*memory, 5, [&](u64 n) { return n < limit; });
  CachingHart hart(*memory);
  touch(hart, kGuestPages);
  limit = 100;
  EXPECT_EQ(sampler.take().size(), 100u);
  EXPECT_EQ(sampler.sampled(), 100u);
}

TEST_F(SamplerTest, TheTwoSamplersDoNotTakeEachOthersMarks) {
  ReferenceSampler references(*memory, 5, [](u64) { return true; });
  ActivitySampler activity(*memory, 1);
  activity.restart(100);
  references.take();
  CachingHart hart(*memory);
  touch(hart, kGuestPages);
  EXPECT_EQ(references.take().size(), kGuestPages);
  EXPECT_EQ(activity.restart(100).touched, 100u);
  touch(hart, kGuestPages);
  EXPECT_EQ(references.take().size(), kGuestPages)
      << "the pages that the other did not sample are cached again";
}

}  // namespace
}  // namespace cloister::memory
