// SPDX-License-Identifier: Apache-2.0
#include "memory/page_set.h"

#include <gtest/gtest.h>

#include <set>

#include "base/random.h"

namespace cloister::memory {
namespace {

TEST(PageSet, AnEmptyOneHasNothingAndAllHasAll) {
  EXPECT_FALSE(PageSet().contains({0}));
  EXPECT_FALSE(PageSet(std::vector<Gpn>{}).contains({7}));
  EXPECT_TRUE(PageSet::all().contains({7}));
}

TEST(PageSet, ItHasJustThePagesThatItWasMadeOf) {
  Random random(3);
  for (int round = 0; round < 200; ++round) {
    std::vector<Gpn> pages;
    for (u64 i = random.below(60); i > 0; --i) pages.push_back({100 + random.below(90)});
    const std::set<Gpn> wanted(pages.begin(), pages.end());
    const PageSet set(pages);
    for (u64 page = 90; page < 200; ++page) EXPECT_EQ(set.contains({page}), wanted.contains({page})) << page;
  }
}

}  // namespace
}  // namespace cloister::memory
