// SPDX-License-Identifier: Apache-2.0
#include "policy/memory/miss_ratio.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <list>

#include "base/random.h"
#include "policy/memory/worth.h"

namespace cloister::policy::memory {
namespace {

// A real LRU list of one size, for comparison.
class Lru {
 public:
  explicit Lru(std::size_t size) : size_(size) {}

  void reference(u64 unit) {
    ++references_;
    const auto known = where_.find(unit);
    if (known != where_.end()) {
      order_.splice(order_.begin(), order_, known->second);
      return;
    }
    ++misses_;
    order_.push_front(unit);
    where_[unit] = order_.begin();
    if (order_.size() > size_) {
      where_.erase(order_.back());
      order_.pop_back();
    }
  }
  Fraction misses() const { return Fraction::ratio(misses_, references_); }

 private:
  std::size_t size_;
  std::list<u64> order_;
  std::unordered_map<u64, std::list<u64>::iterator> where_;
  u64 references_ = 0;
  u64 misses_ = 0;
};

MissRatioSettings exact() {
  MissRatioSettings settings;
  settings.first_rate = MissRatioSampler::kModulus;
  settings.bucket = {1};
  return settings;
}

// Mostly a small hot set, now and then anything.
u64 skewed(Random& random, u64 units) {
  return random.one_in(3) ? random.below(units) : random.below(units / 8);
}

TEST(MissRatio, IsExactWhenEverythingIsSampled) {
  const u64 seed = 2015;
  fmt::print("seed {}\n", seed);
  Random random(seed);
  MissRatioSampler sampler(exact());
  Lru small(20), large(100);
  for (int i = 0; i < 50'000; ++i) {
    const u64 unit = skewed(random, 160);
    sampler.reference(unit);
    small.reference(unit);
    large.reference(unit);
  }
  const MissRatioCurve curve = sampler.curve();
  EXPECT_EQ(curve.references, 50'000u);
  EXPECT_EQ(curve.at({20}), small.misses());
  EXPECT_EQ(curve.at({100}), large.misses());
  EXPECT_EQ(curve.at({}), Fraction::whole());
}

TEST(MissRatio, FindsTheCliffOfALoop) {
  MissRatioSampler sampler(exact());
  for (int round = 0; round < 100; ++round) {
    for (u64 unit = 0; unit < 50; ++unit) sampler.reference(unit);
  }
  EXPECT_EQ(sampler.curve().at({49}), Fraction::whole());
  EXPECT_EQ(sampler.curve().at({50}), Fraction::percent(1));  // the first round
}

// Watching at most 512 of 40,000 units still tells every point to a few percent.
TEST(MissRatio, IsNearWithFewSamples) {
  const u64 seed = 4096;
  fmt::print("seed {}\n", seed);
  Random random(seed);
  MissRatioSettings settings;
  settings.most_samples = 512;
  settings.first_rate = MissRatioSampler::kModulus / 16;
  MissRatioSampler sampler(settings);
  constexpr u64 kSizes[] = {3'000, 8'000, 20'000, 36'000};
  std::vector<Lru> caches(std::begin(kSizes), std::end(kSizes));
  for (int i = 0; i < 500'000; ++i) {
    const u64 unit = skewed(random, 40'000);
    sampler.reference(unit);
    for (Lru& cache : caches) cache.reference(unit);
  }
  EXPECT_LT(sampler.rate(), settings.first_rate);
  const MissRatioCurve curve = sampler.curve();
  for (std::size_t i = 0; i < caches.size(); ++i) {
    const i64 off = i64{curve.at({kSizes[i]}).raw} - i64{caches[i].misses().raw};
    EXPECT_LT(std::abs(off), 40'000) << kSizes[i];
  }
}

TEST(MissRatio, NeverRisesWithSize) {
  Random random(7);
  MissRatioSampler sampler(exact());
  for (int i = 0; i < 20'000; ++i) sampler.reference(skewed(random, 500));
  const MissRatioCurve curve = sampler.curve();
  for (std::size_t i = 1; i < curve.points.size(); ++i) {
    EXPECT_LT(curve.points[i - 1].size, curve.points[i].size);
    EXPECT_GE(curve.points[i - 1].misses, curve.points[i].misses);
  }
}

TEST(MissRatio, ForgetsWhatIsOld) {
  MissRatioSampler sampler(exact());
  const auto loop = [&](u64 units) {
    for (u64 i = 0; i < 4'000; ++i) sampler.reference(i % units);
  };
  loop(400);
  const Fraction before = sampler.curve().at({40});
  for (int i = 0; i < 20; ++i) {
    sampler.age();
    loop(40);
  }
  EXPECT_GT(before, Fraction::percent(95));
  EXPECT_LT(sampler.curve().at({40}), Fraction::percent(1));
}

TEST(Savings, AreTheUpperHullOfTheHits) {
  const MissRatioCurve curve{{{{}, Fraction::percent(100)},
                              {{10}, Fraction::percent(90)},    // 1 % a unit
                              {{20}, Fraction::percent(50)},    // 4 %: joined with the one before
                              {{40}, Fraction::percent(40)},    // 0.5 %
                              {{100}, Fraction::percent(39)}},  // beyond the size
                             1};
  const Savings found = savings(curve, 1, {40});
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].units, Units{20});
  EXPECT_EQ(found[0].misses, Fraction::percent(50).raw);
  EXPECT_EQ(found[1].units, Units{20});
  EXPECT_EQ(found[1].misses, Fraction::percent(10).raw);
  EXPECT_TRUE(savings({}, 1, {40}).empty());
}

}  // namespace
}  // namespace cloister::policy::memory
