// SPDX-License-Identifier: Apache-2.0
#include "device/bus.h"

#include <gtest/gtest.h>

namespace cloister::device {
namespace {

class Recorder final : public MmioDevice {
 public:
  explicit Recorder(std::string_view name) : name_(name) {}
  std::string_view name() const override { return name_; }
  u64 read(u64 offset, u32 size) override { return offset * 16 + size; }
  void write(u64 offset, u32, u64 value) override { last_offset = offset, last_value = value; }
  void reset() override { ++resets; }

  u64 last_offset = 0;
  u64 last_value = 0;
  int resets = 0;

 private:
  std::string_view name_;
};

struct BusTest : testing::Test {
  BusTest() {
    EXPECT_TRUE(bus.attach({0x2000}, Bytes{0x100}, second));
    EXPECT_TRUE(bus.attach({0x1000}, Bytes{0x100}, first));
  }
  Recorder first{"first"};
  Recorder second{"second"};
  Bus bus;
};

TEST_F(BusTest, AnAccessReachesTheDeviceThatLivesThere) {
  u64 value = 0;
  EXPECT_TRUE(bus.load({0x2010}, 4, value));
  EXPECT_EQ(value, 0x104u);
  EXPECT_TRUE(bus.store({0x10f8}, 8, 77));
  EXPECT_EQ(first.last_offset, 0xf8u);
  EXPECT_EQ(first.last_value, 77u);
}

TEST_F(BusTest, NoDeviceAnswersOutsideItsRegion) {
  u64 value = 0;
  EXPECT_FALSE(bus.load({0xff8}, 8, value));
  EXPECT_FALSE(bus.load({0x1100}, 1, value));
  EXPECT_FALSE(bus.store({0xffff'ffff'ffff'fff8}, 8, 0));
}

TEST_F(BusTest, MisalignedAndOddSizedAccessesFault) {
  u64 value = 0;
  EXPECT_FALSE(bus.load({0x1001}, 2, value));
  EXPECT_FALSE(bus.load({0x1004}, 8, value));
  EXPECT_FALSE(bus.load({0x1000}, 3, value));
  EXPECT_FALSE(bus.load({0x1000}, 0, value));
  EXPECT_FALSE(bus.load({0x1000}, 16, value));
}

TEST_F(BusTest, OverlappingRegionsAreRefusedByName) {
  Recorder third{"third"};
  for (const u64 base : {0x1000u, 0xf80u, 0x10ffu}) {
    const Result<void> result = bus.attach({base}, Bytes{0x100}, third);
    ASSERT_FALSE(result);
    EXPECT_NE(result.failure().message.find("first"), std::string::npos);
    EXPECT_NE(result.failure().message.find("third"), std::string::npos);
  }
  EXPECT_TRUE(bus.attach({0x1100}, Bytes{0xf00}, third));
}

TEST_F(BusTest, ResetReachesEveryDevice) {
  bus.reset();
  EXPECT_EQ(first.resets, 1);
  EXPECT_EQ(second.resets, 1);
}

}  // namespace
}  // namespace cloister::device
