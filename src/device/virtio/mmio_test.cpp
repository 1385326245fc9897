// SPDX-License-Identifier: Apache-2.0
#include "device/virtio/mmio.h"

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <string>
#include <vector>

#include "device/virtio/drain.h"
#include "device/virtio/testing/guest.h"

namespace cloister::device::virtio {
namespace {

using testing::Guest;

constexpr u64 kOwnFeature = 1;
constexpr u32 kLive = kAcknowledge | kDriver | kFeaturesOk | kDriverOk;

// Gives every byte back as it came, and remembers what it was told.
class Echo final : public Device {
 public:
  DeviceId id() const override { return DeviceId::kConsole; }
  std::string_view name() const override { return "echo"; }
  u64 features() const override { return kOwnFeature; }
  u32 queue_count() const override { return 2; }
  u32 queue_max_size(u32 index) const override { return index == 0 ? 16 : 8; }
  void read_config(u32 offset, std::span<std::byte> to) override { copy_config(config, offset, to); }
  void write_config(u32 offset, std::span<const std::byte> from) override {
    if (offset + from.size() <= sizeof(config)) std::memcpy(config.data() + offset, from.data(), from.size());
  }
  void activate(Port& to, u64 features) override {
    port = &to;
    negotiated = features;
    ++activations;
  }
  void notify(u32 index) override {
    notified.push_back(index);
    drain(*port, index, [](Chain& chain) {
      std::vector<std::byte> bytes(std::min(chain.readable(), chain.writable()));
      EXPECT_TRUE(chain.read(bytes) && chain.write(bytes));
    });
  }
  void reset() override {
    port = nullptr;
    ++resets;
  }

  std::array<u8, 12> config = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
  Port* port = nullptr;
  u64 negotiated = 0;
  int activations = 0, resets = 0;
  std::vector<u32> notified;
};

struct Transport : ::testing::Test {
  Echo device;
  Guest guest{device};
};

TEST_F(Transport, SaysWhatItIs) {
  EXPECT_EQ(guest.read(Register::kMagic), 0x74726976u);
  EXPECT_EQ(guest.read(Register::kVersion), 2u);
  EXPECT_EQ(guest.read(Register::kDeviceId), 3u);
  EXPECT_EQ(guest.read(Register::kStatus), 0u);
  EXPECT_EQ(guest.device_features(), kTransportFeatures | kOwnFeature);
}

TEST_F(Transport, HasNoFeaturesPastTheSecondWord) {
  guest.write(Register::kDeviceFeaturesSelect, 2);
  EXPECT_EQ(guest.read(Register::kDeviceFeatures), 0u);
}

TEST_F(Transport, HasNoSharedMemory) {
  for (const auto reg : {Register::kSharedMemoryLengthLow, Register::kSharedMemoryLengthHigh,
                         Register::kSharedMemoryBaseLow, Register::kSharedMemoryBaseHigh}) {
    EXPECT_EQ(guest.read(reg), 0xffff'ffffu);
  }
}

TEST_F(Transport, RegistersAreFourBytesWide) {
  EXPECT_EQ(guest.transport().read(0, 1), 0u);
  EXPECT_EQ(guest.transport().read(0, 8), 0u);
  guest.transport().write(0x70, 1, kAcknowledge);
  EXPECT_EQ(guest.read(Register::kStatus), 0u);
}

TEST_F(Transport, TheConfigurationHasAnyWidthAndEndsInZeros) {
  EXPECT_EQ(guest.config<u8>(1), 2u);
  EXPECT_EQ(guest.config<u16>(2), 0x0403u);
  EXPECT_EQ(guest.config<u64>(0), 0x0807060504030201u);
  EXPECT_EQ(guest.config<u64>(8), 0x0c0b0a09u);
  EXPECT_EQ(guest.config<u32>(0x800), 0u);
}

TEST_F(Transport, TheConfigurationIsWrittenAfterFeaturesOkOnly) {
  guest.transport().write(0x104, 4, 0xaabbccdd);
  EXPECT_EQ(guest.config<u32>(4), 0x08070605u);
  guest.start(kVersion1);
  guest.transport().write(0x104, 4, 0xaabbccdd);
  EXPECT_EQ(guest.config<u32>(4), 0xaabbccddu);
  guest.transport().write(0xffc, 4, 1);
}

// -- Status ----------------------------------------------------------------------------------------------

TEST_F(Transport, StepsAreTakenInOrderOnly) {
  guest.write(Register::kStatus, kDriver);
  EXPECT_EQ(guest.read(Register::kStatus), 0u);
  guest.write(Register::kStatus, kAcknowledge | kFeaturesOk);
  EXPECT_EQ(guest.read(Register::kStatus), u32{kAcknowledge});
  guest.write(Register::kStatus, kAcknowledge | kDriverOk);
  EXPECT_EQ(guest.read(Register::kStatus), u32{kAcknowledge});
  EXPECT_EQ(device.activations, 0);
}

TEST_F(Transport, ADriverCannotTakeAStepBack) {
  ASSERT_TRUE(guest.negotiate(kVersion1));
  guest.write(Register::kStatus, kAcknowledge);
  EXPECT_EQ(guest.read(Register::kStatus), u32{kAcknowledge | kDriver | kFeaturesOk});
}

TEST_F(Transport, UnknownFeaturesAreRefused) { EXPECT_FALSE(guest.negotiate(kVersion1 | u64{1} << 20)); }

TEST_F(Transport, ALegacyDriverIsRefused) { EXPECT_FALSE(guest.negotiate(kOwnFeature)); }

TEST_F(Transport, FeaturesStayAsNegotiated) {
  guest.start(kVersion1 | kOwnFeature);
  guest.write(Register::kDriverFeaturesSelect, 0);
  guest.write(Register::kDriverFeatures, 0);
  guest.write(Register::kQueueSelect, 1);
  guest.write(Register::kQueueReady, 0);
  EXPECT_EQ(device.negotiated, kVersion1 | kOwnFeature);
}

TEST_F(Transport, AFailedDriverStopsTheDevice) {
  guest.start(kVersion1);
  guest.write(Register::kStatus, kLive | kFailed);
  EXPECT_EQ(device.resets, 1);
  EXPECT_EQ(guest.read(Register::kStatus), kLive | kFailed);
  guest.notify(0);
  EXPECT_EQ(device.notified.size(), 2u);
}

TEST_F(Transport, ResetForgetsAll) {
  guest.start(kVersion1 | kEventIndex);
  device.port->signal_config_changed();
  guest.reset();
  EXPECT_EQ(device.resets, 1);
  EXPECT_EQ(guest.read(Register::kInterruptStatus), 0u);
  EXPECT_FALSE(guest.interrupt_line());
  guest.write(Register::kQueueSelect, 0);
  EXPECT_EQ(guest.read(Register::kQueueReady), 0u);
  EXPECT_FALSE(guest.negotiate(u64{1} << 40));
  guest.reset();
  guest.start(kVersion1 | kPackedRing);
  EXPECT_EQ(device.negotiated, kVersion1 | kPackedRing);
}

// -- Queues ----------------------------------------------------------------------------------------------

TEST_F(Transport, QueuesHaveTheirMaximumAndOthersNone) {
  guest.write(Register::kQueueSelect, 1);
  EXPECT_EQ(guest.read(Register::kQueueSizeMax), 8u);
  guest.write(Register::kQueueSelect, 2);
  EXPECT_EQ(guest.read(Register::kQueueSizeMax), 0u);
  EXPECT_EQ(guest.read(Register::kQueueReady), 0u);
  guest.write(Register::kQueueReady, 1);
  EXPECT_FALSE(guest.needs_reset());
}

TEST_F(Transport, AQueueIsSetUpAfterFeaturesOkOnly) {
  guest.set_up_queue(0, guest.place_queue(0));
  EXPECT_EQ(guest.read(Register::kQueueReady), 0u);
}

TEST_F(Transport, BytesGoThroughEveryKindOfRing) {
  for (const u64 features : {u64{0}, kEventIndex, kPackedRing, kPackedRing | kEventIndex}) {
    guest.start(kVersion1 | kIndirectDescriptors | features);
    const auto to = guest.allocate(16);
    EXPECT_EQ(guest.run(0, {{{guest.place("over the wire"), 13}}, {{to, 16}}, {}}), 13u);
    EXPECT_EQ(guest.text_at(to, 13), "over the wire");
    EXPECT_EQ(guest.take_interrupts(), 1u);
    EXPECT_FALSE(guest.interrupt_line());
    EXPECT_EQ(guest.run(1, {{{to, 13}}, {{guest.allocate(16), 16}}, guest.allocate(32)}), 13u);
    guest.reset();
  }
}

TEST_F(Transport, WhatCameBeforeDriverOkIsServed) {
  ASSERT_TRUE(guest.negotiate(kVersion1));
  guest.set_up_queue(0, guest.place_queue(0));
  guest.submit(0, {{{guest.place("early"), 5}}, {{guest.allocate(8), 8}}, {}});
  EXPECT_FALSE(guest.queue(0).take_used());
  guest.write(Register::kStatus, kLive);
  EXPECT_EQ(guest.queue(0).take_used()->written, 5u);
}

TEST_F(Transport, ANotificationOfNoQueueIsIgnored) {
  guest.start(kVersion1);
  device.notified.clear();
  guest.notify(2);
  guest.notify(0xffff'ffff);
  EXPECT_TRUE(device.notified.empty());
}

TEST_F(Transport, AnImpossibleQueueNeedsAReset) {
  const RingLayout good = guest.place_queue(0);
  RingLayout bad[] = {good, good, good, good};
  bad[0].size = 32;  // over the maximum
  bad[1].size = 12;
  bad[2].driver = {0x1000};
  bad[3].descriptors = good.descriptors + 8;
  for (const RingLayout& layout : bad) {
    ASSERT_TRUE(guest.negotiate(kVersion1));
    guest.set_up_queue(0, layout);
    EXPECT_EQ(guest.read(Register::kQueueReady), 0u);
    EXPECT_TRUE(guest.needs_reset());
    guest.write(Register::kStatus, kLive);
    EXPECT_EQ(device.activations, 0);
    guest.reset();
  }
}

TEST_F(Transport, AReadyQueueKeepsItsPlace) {
  guest.start(kVersion1);
  guest.write(Register::kQueueSelect, 0);
  guest.write(Register::kQueueSize, 3);
  guest.write(Register::kQueueDescriptorsLow, 3);
  const auto to = guest.allocate(16);
  EXPECT_EQ(guest.run(0, {{{guest.place("same"), 4}}, {{to, 16}}, {}}), 4u);
}

TEST_F(Transport, AQueueCanBeTakenAwayAndBroughtBackWhileLive) {
  guest.start(kVersion1);
  guest.write(Register::kQueueSelect, 0);
  guest.write(Register::kQueueReady, 0);
  EXPECT_EQ(guest.read(Register::kQueueReady), 0u);
  EXPECT_EQ(device.resets, 1);
  EXPECT_EQ(device.activations, 2);
  EXPECT_TRUE(device.port->queue(0).empty());
  const auto to = guest.allocate(16);
  EXPECT_EQ(guest.run(1, {{{guest.place("other"), 5}}, {{to, 16}}, {}}), 5u);
  guest.set_up_queue(0, guest.place_queue(0));
  EXPECT_EQ(guest.run(0, {{{guest.place("back"), 4}}, {{to, 16}}, {}}), 4u);
}

TEST_F(Transport, ABrokenRingNeedsAReset) {
  guest.start(kVersion1);
  guest.submit(0, {{{{0x1000}, 5}}, {}, {}});
  EXPECT_TRUE(guest.needs_reset());
  EXPECT_EQ(guest.take_interrupts(), 2u);
  device.notified.clear();
  guest.notify(0);
  guest.notify(1);
  EXPECT_TRUE(device.notified.empty());
  guest.reset();
  guest.start(kVersion1);
  EXPECT_FALSE(guest.needs_reset());
  EXPECT_EQ(guest.run(0, {{{guest.place("fresh"), 5}}, {{guest.allocate(8), 8}}, {}}), 5u);
}

// A buffer whose own content, when served, makes the next entry of the available ring.
TEST_F(Transport, ADriverThatFeedsTheDeviceForEverNeedsAReset) {
  ASSERT_TRUE(guest.negotiate(kVersion1));
  const RingLayout layout = guest.place_queue(0, 1);
  guest.set_up_queue(0, layout);
  guest.write(Register::kStatus, kLive);
  Queue& queue = device.port->queue(0);
  ASSERT_TRUE(guest.queue(0).add({{}, {{layout.driver + 2, 2}}, {}}));
  u16 served = 0;
  drain(*device.port, 0, [&](Chain& chain) {
    ASSERT_LT(served, 1000);
    ++served;
    const u16 next = static_cast<u16>(served + 1);
    ASSERT_TRUE(chain.write(std::as_bytes(std::span(&next, 1))));
  });
  EXPECT_GT(served, 1);
  EXPECT_TRUE(guest.needs_reset());
  EXPECT_FALSE(queue.broken());
}

// -- Interrupts ------------------------------------------------------------------------------------------

TEST_F(Transport, TheLineStaysHighUntilAllIsAcknowledged) {
  guest.start(kVersion1);
  device.port->signal_config_changed();
  guest.run(0, {{{guest.place("x"), 1}}, {{guest.allocate(8), 8}}, {}});
  EXPECT_EQ(guest.read(Register::kInterruptStatus), 3u);
  guest.write(Register::kInterruptAck, 1);
  EXPECT_TRUE(guest.interrupt_line());
  guest.write(Register::kInterruptAck, 2);
  EXPECT_FALSE(guest.interrupt_line());
}

TEST_F(Transport, AConfigurationChangeHasANewGeneration) {
  guest.start(kVersion1);
  const u32 before = guest.read(Register::kConfigGeneration);
  device.port->signal_config_changed();
  EXPECT_NE(guest.read(Register::kConfigGeneration), before);
}

TEST_F(Transport, ADriverThatWantsNoInterruptsGetsNone) {
  guest.start(kVersion1);
  guest.queue(0).silence();
  guest.run(0, {{{guest.place("x"), 1}}, {{guest.allocate(8), 8}}, {}});
  EXPECT_FALSE(guest.interrupt_line());
}

}  // namespace
}  // namespace cloister::device::virtio
