// SPDX-License-Identifier: Apache-2.0
#include "jit/places.h"

#include <gtest/gtest.h>

#include <map>

#include "base/random.h"

namespace cloister::jit {
namespace {

TEST(Places, FindsWhatAMapFinds) {
  Random random(7);
  Places<u64> places;
  std::map<u64, u64> expected;
  for (int step = 0; step < 20'000; ++step) {
    const u64 offset = random.below(step < 10'000 ? kPageSize / 2 : 64) * 2;
    if (random.one_in(3) && expected.erase(offset) != 0) {
      places.erase(offset);
    } else {
      const u64 value = random.next();
      places.put(offset, value);
      expected[offset] = value;
    }
    const u64 other = random.below(kPageSize / 2) * 2;
    const auto found = expected.find(other);
    ASSERT_EQ(places.has(other), found != expected.end());
    ASSERT_EQ(places.find(other) != nullptr, found != expected.end());
    if (found != expected.end()) {
      ASSERT_EQ(*places.find(other), found->second);
    }
  }
  for (const auto& [offset, value] : expected) ASSERT_EQ(*places.find(offset), value);
}

}  // namespace
}  // namespace cloister::jit
