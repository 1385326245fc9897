// SPDX-License-Identifier: Apache-2.0
#include "base/lock.h"

#include <gtest/gtest.h>

namespace cloister {
namespace {

TEST(Lock, OuterBeforeInnerIsFine) {
  Mutex outer(LockRank::kMachine), inner(LockRank::kLog);
  MutexLock first(outer);
  MutexLock second(inner);
}

#ifndef NDEBUG
TEST(LockDeathTest, InnerBeforeOuterIsCaught) {
  Mutex outer(LockRank::kMachine), inner(LockRank::kLog);
  MutexLock first(inner);
  EXPECT_DEATH({ MutexLock second(outer); }, "CHECK failed");
}
#endif

}  // namespace
}  // namespace cloister
