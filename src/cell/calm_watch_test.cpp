// SPDX-License-Identifier: Apache-2.0
#include "cell/calm_watch.h"

#include <gtest/gtest.h>

namespace cloister::cell {
namespace {

constexpr Nanos kLook{1'000'000'000};

TEST(CalmWatch, OnlyWhatRanSinceTheLastLookCounts) {
  CalmWatch watch;
  const Nanos start = os::monotonic_now();
  EXPECT_FALSE(watch.look(kLook, start + kLook));
  EXPECT_TRUE(watch.look(kLook + Nanos{19'000'000}, start + kLook + kLook));
  EXPECT_FALSE(watch.look(kLook + Nanos{40'000'000}, start + kLook + kLook + kLook));
}

}  // namespace
}  // namespace cloister::cell
