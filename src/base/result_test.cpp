// SPDX-License-Identifier: Apache-2.0
#include "base/result.h"

#include <gtest/gtest.h>

namespace cloister {
namespace {

Result<int> half(int n) {
  if (n % 2 != 0) return error("{} is odd", n);
  return n / 2;
}

Result<int> quarter(int n) { return TRY(half(TRY(half(n)))); }

TEST(Result, TryPassesTheValueOn) { EXPECT_EQ(*quarter(12), 3); }

TEST(Result, TryReturnsTheFirstFailure) {
  EXPECT_EQ(quarter(5).failure().message, "5 is odd");
  EXPECT_EQ(quarter(6).failure().message, "3 is odd");
}

TEST(ResultDeathTest, TheValueOfAFailureIsOurMistake) {
  EXPECT_DEATH((void)quarter(5).value(), "CHECK failed");
}

}  // namespace
}  // namespace cloister
