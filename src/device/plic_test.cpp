// SPDX-License-Identifier: Apache-2.0
#include "device/plic.h"

#include <gtest/gtest.h>

#include <map>

namespace cloister::device {
namespace {

constexpr u64 kPending = 0x1000;
constexpr u64 priority(u64 source) { return 4 * source; }
constexpr u64 enable(u64 context) { return 0x2000 + 0x80 * context; }
constexpr u64 threshold(u64 context) { return 0x20'0000 + 0x1000 * context; }
constexpr u64 claim(u64 context) { return threshold(context) + 4; }

struct PlicTest : testing::Test {
  u64 get(u64 offset) { return plic.read(offset, 4); }
  void set(u64 offset, u64 value) { plic.write(offset, 4, value); }
  void allow(u64 context, u64 source, u64 at_priority = 1) {
    set(priority(source), at_priority);
    set(enable(context) + source / 32 * 4, get(enable(context) + source / 32 * 4) | u64{1} << (source % 32));
  }

  std::map<u32, bool> wire;
  Plic plic{4, [this](u32 context, bool high) { wire[context] = high; }};
};

TEST_F(PlicTest, ALevelReachesAHartOnlyWhenEnabledAndAboveTheThreshold) {
  plic.set_level(5, true);
  EXPECT_FALSE(wire[0]);
  set(enable(0), 1u << 5);
  EXPECT_FALSE(wire[0]);  // priority 0 never interrupts
  set(priority(5), 2);
  EXPECT_TRUE(wire[0]);
  EXPECT_FALSE(wire[1]);
  set(threshold(0), 2);
  EXPECT_FALSE(wire[0]);
  set(threshold(0), 1);
  EXPECT_TRUE(wire[0]);
}

TEST_F(PlicTest, AClaimLowersTheWireUntilACompletionFindsTheLevelStillHigh) {
  allow(1, 40);
  plic.set_level(40, true);
  EXPECT_EQ(get(kPending + 4), 1u << 8);
  EXPECT_EQ(get(claim(1)), 40u);
  EXPECT_FALSE(wire[1]);
  EXPECT_EQ(get(kPending + 4), 0u);
  EXPECT_EQ(get(claim(1)), 0u);
  set(claim(1), 40);
  EXPECT_TRUE(wire[1]);
}

TEST_F(PlicTest, ALevelThatFellBeforeTheClaimInterruptsNobody) {
  allow(0, 3);
  plic.set_level(3, true);
  plic.set_level(3, false);
  EXPECT_FALSE(wire[0]);
  EXPECT_EQ(get(claim(0)), 0u);
}

TEST_F(PlicTest, TheHighestPriorityIsClaimedFirstAndThenTheLowestNumber) {
  allow(0, 9, 1);
  allow(0, 70, 3);
  allow(0, 4, 1);
  for (const u32 source : {9u, 70u, 4u}) plic.set_level(source, true);
  EXPECT_EQ(get(claim(0)), 70u);
  EXPECT_EQ(get(claim(0)), 4u);
  EXPECT_EQ(get(claim(0)), 9u);
}

TEST_F(PlicTest, OneOfTwoHartsGetsTheClaim) {
  allow(0, 6);
  allow(1, 6);
  plic.set_level(6, true);
  EXPECT_TRUE(wire[0] && wire[1]);
  EXPECT_EQ(get(claim(1)), 6u);
  EXPECT_FALSE(wire[0] || wire[1]);
  EXPECT_EQ(get(claim(0)), 0u);
}

TEST_F(PlicTest, ACompletionOfASourceThatIsNotEnabledIsIgnored) {
  allow(0, 6);
  plic.set_level(6, true);
  EXPECT_EQ(get(claim(0)), 6u);
  set(claim(2), 6);
  EXPECT_FALSE(wire[0]);
  set(claim(0), 6);
  EXPECT_TRUE(wire[0]);
}

TEST_F(PlicTest, SourceZeroIsNoSource) {
  set(priority(0), 7);
  set(enable(0), 0xffff'ffff);
  EXPECT_EQ(get(priority(0)), 0u);
  EXPECT_EQ(get(enable(0)), 0xffff'fffeu);
  set(claim(0), 0);
}

TEST_F(PlicTest, RegistersBeyondTheLastReadZeroAndIgnoreWrites) {
  for (const u64 offset : {priority(Plic::kSources), kPending + 0x10, enable(4), enable(0) + 0x10,
                           threshold(4), threshold(0) + 8, u64{0x5f'fffc}}) {
    set(offset, ~u64{0});
    EXPECT_EQ(get(offset), 0u) << offset;
  }
  EXPECT_EQ(plic.read(priority(1), 8), 0u);
}

TEST_F(PlicTest, ResetForgetsAllButTheDevicesLevels) {
  allow(0, 6);
  plic.set_level(6, true);
  EXPECT_EQ(get(claim(0)), 6u);
  plic.reset();
  EXPECT_FALSE(wire[0]);
  EXPECT_EQ(get(enable(0)), 0u);
  allow(0, 6);
  EXPECT_TRUE(wire[0]);
}

}  // namespace
}  // namespace cloister::device
