// SPDX-License-Identifier: Apache-2.0
#include "device/rtc.h"

#include <gtest/gtest.h>

namespace cloister::device {
namespace {

enum : u64 {
  kTimeLow = 0x00,
  kTimeHigh = 0x04,
  kAlarmLow = 0x08,
  kAlarmHigh = 0x0c,
  kInterruptEnabled = 0x10,
  kClearAlarm = 0x14,
  kAlarmStatus = 0x18,
  kClearInterrupt = 0x1c,
};

struct FakeClock final : WallClock {
  Nanos now() override { return Nanos{time}; }
  void wake_at(Nanos at) override { alarm = at.raw; }
  u64 time = 0x17c0'ffff'1234'5678;
  u64 alarm = 0;
};

struct Wire final : InterruptController {
  void set_level(u32, bool level) override { high = level; }
  bool high = false;
};

struct RtcTest : testing::Test {
  u64 get(u64 offset) { return rtc.read(offset, 4); }
  void set(u64 offset, u64 value) { rtc.write(offset, 4, value); }
  u64 time() {
    const u64 low = get(kTimeLow);
    return get(kTimeHigh) << 32 | low;
  }
  void set_alarm(u64 at) {
    set(kAlarmHigh, at >> 32);
    set(kAlarmLow, at & 0xffff'ffff);
  }

  FakeClock clock;
  Wire wire;
  Rtc rtc{clock, InterruptLine(wire, 1)};
};

TEST_F(RtcTest, TheHalvesOfOneReadBelongTogether) {
  const u64 low = get(kTimeLow);
  clock.time += u64{1} << 33;
  EXPECT_EQ(get(kTimeHigh) << 32 | low, 0x17c0'ffff'1234'5678u);
}

TEST_F(RtcTest, AGuestSetsItsOwnTimeUntilReset) {
  set(kTimeHigh, 5);
  set(kTimeLow, 7);
  clock.time += 100;
  EXPECT_EQ(time(), (u64{5} << 32) + 107);
  rtc.reset();
  EXPECT_EQ(time(), clock.time);
}

TEST_F(RtcTest, TheAlarmRingsWhenItsTimeHasCome) {
  set(kInterruptEnabled, 1);
  set_alarm(clock.time + 1000);
  EXPECT_EQ(clock.alarm, clock.time + 1000);
  EXPECT_EQ(get(kAlarmStatus), 1u);
  clock.time += 999;
  rtc.check_alarm();
  EXPECT_FALSE(wire.high);
  clock.time += 1;
  rtc.check_alarm();
  EXPECT_TRUE(wire.high);
  EXPECT_EQ(get(kAlarmStatus), 0u);
  set(kClearInterrupt, 1);
  EXPECT_FALSE(wire.high);
}

TEST_F(RtcTest, AnAlarmInThePastRingsAtOnce) {
  set(kInterruptEnabled, 1);
  set_alarm(clock.time - 1);
  EXPECT_TRUE(wire.high);
}

TEST_F(RtcTest, AClearedAlarmStaysSilent) {
  set(kInterruptEnabled, 1);
  set_alarm(clock.time + 10);
  set(kClearAlarm, 1);
  clock.time += 20;
  rtc.check_alarm();
  EXPECT_FALSE(wire.high);
}

TEST_F(RtcTest, SettingTheTimeMovesTheAlarmOnTheWallClock) {
  set_alarm(clock.time + 1000);
  const u64 guest = clock.time + 400;
  set(kTimeHigh, guest >> 32);
  set(kTimeLow, guest & 0xffff'ffff);
  EXPECT_EQ(clock.alarm, clock.time + 600);
}

TEST_F(RtcTest, AnAlarmAtTheEndOfTimeIsNotOneInThePast) {
  set(kInterruptEnabled, 1);
  const u64 guest = 1000;
  set(kTimeHigh, guest >> 32);
  set(kTimeLow, guest);
  set_alarm(~u64{0});
  EXPECT_FALSE(wire.high);
  EXPECT_EQ(clock.alarm, ~u64{0});
}

TEST_F(RtcTest, OtherAccessesReadZero) {
  EXPECT_EQ(rtc.read(kTimeLow, 8), 0u);
  EXPECT_EQ(get(0x20), 0u);
  rtc.write(kInterruptEnabled, 1, 1);
  EXPECT_EQ(get(kInterruptEnabled), 0u);
}

}  // namespace
}  // namespace cloister::device
