// SPDX-License-Identifier: Apache-2.0
#include "device/virtio/balloon/balloon.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "device/virtio/testing/guest.h"

namespace cloister::device::virtio {
namespace {

using testing::Guest;
using Statistic = Balloon::Statistic;

// The device is made with a memory of its own, and the guest's has the same addresses: pages that the driver
// names are looked at in the first.
struct BalloonDevice : ::testing::Test {
  static constexpr u64 kPages = 2048;
  std::unique_ptr<memory::GuestMemory> memory =
      memory::GuestMemory::create(Guest::kBase, {kPages * kPageSize}).take();
  Balloon device{*memory};
  Guest guest{device};

  void SetUp() override {
    const std::vector<std::byte> content(kPages * kPageSize, std::byte{1});
    ASSERT_TRUE(memory->write(Guest::kBase, content));
    guest.start(kVersion1 | device.features());
  }
  static u32 number(u64 page) { return static_cast<u32>(Guest::kBase.page() + page); }
  u64 held() const { return memory->usage().frames.raw; }
  void give(u32 queue, const std::vector<u32>& numbers) {
    const auto bytes = std::as_bytes(std::span(numbers));
    guest.run(queue, {{{guest.place(bytes), static_cast<u32>(bytes.size())}}, {}, {}});
  }
  void send_statistics(const std::vector<std::pair<u16, u64>>& values) {
    std::vector<std::byte> bytes;
    for (const auto& [tag, value] : values) {
      bytes.resize(bytes.size() + 10);
      std::memcpy(bytes.data() + bytes.size() - 10, &tag, 2);
      std::memcpy(bytes.data() + bytes.size() - 8, &value, 8);
    }
    guest.submit(2, {{{guest.place(bytes), static_cast<u32>(bytes.size())}}, {}, {}});
  }
};

TEST_F(BalloonDevice, WhatTheDriverInflatesGoesBackToTheHost) {
  give(0, {number(1), number(2), number(700), number(2)});
  EXPECT_EQ(held(), kPages - 3);
  EXPECT_EQ(memory->state({number(700)}), memory::PageState::kZero);
  EXPECT_EQ(device.counts().inflated, 4u);
}

TEST_F(BalloonDevice, PagesThatAreNoMemoryChangeNothing) {
  give(0, {0, 5, number(kPages), 0xffff'ffff});
  EXPECT_EQ(held(), kPages);
  EXPECT_FALSE(guest.needs_reset());
}

TEST_F(BalloonDevice, ADeflatedPageCanBeUsedAtOnce) {
  give(0, {number(7)});
  give(1, {number(7)});
  EXPECT_EQ(device.counts().deflated, 1u);
  EXPECT_EQ(memory->load<u64>(memory->base() + 7 * kPageSize), 0u);
  EXPECT_TRUE(memory->store<u64>(memory->base() + 7 * kPageSize, 1));
  EXPECT_EQ(held(), kPages);
}

TEST_F(BalloonDevice, TheTargetIsToldByTheConfiguration) {
  guest.take_interrupts();
  device.set_target({512});
  EXPECT_EQ(guest.take_interrupts(), 2u) << "a configuration change";
  EXPECT_EQ(guest.config<u32>(0), 512u);
  device.set_target({512});
  EXPECT_EQ(guest.take_interrupts(), 0u) << "nothing changed";
  guest.transport().write(0x100 + 4, 4, 300);
  EXPECT_EQ(device.actual(), Pages{300});
  EXPECT_EQ(guest.config<u32>(4), 300u);
}

TEST_F(BalloonDevice, ReportedFreePagesGoBackToTheHost) {
  const GuestPhys first = memory->base() + 64 * kPageSize;
  guest.run(4, {{}, {{first, 16 * kPageSize}, {first + 32 * kPageSize, 4 * kPageSize}}, {}});
  EXPECT_EQ(held(), kPages - 20);
  EXPECT_EQ(device.counts().reported, 20u);
}

TEST_F(BalloonDevice, OnlyWholePagesOfAReportAreGivenUp) {
  guest.run(4, {{}, {{memory->base() + 64 * kPageSize + 8, 2 * kPageSize}}, {}});
  EXPECT_EQ(held(), kPages - 1);
  EXPECT_EQ(memory->state({number(65)}), memory::PageState::kZero);
}

TEST_F(BalloonDevice, StatisticsComeWhenTheyAreAskedFor) {
  EXPECT_FALSE(device.request_statistics()) << "the driver has handed out no buffer";
  send_statistics({{4, 1000}, {5, 2000}, {999, 1}});
  EXPECT_EQ(device.statistics().answers, 1u);
  EXPECT_EQ(device.statistics()[Statistic::kFree], 1000u);
  EXPECT_EQ(device.statistics()[Statistic::kTotal], 2000u);
  EXPECT_FALSE(device.statistics()[Statistic::kAvailable]);
  EXPECT_TRUE(device.request_statistics());
  EXPECT_EQ(guest.wait_used(2).written, 0u);
  EXPECT_FALSE(device.request_statistics()) << "the answer is still to come";
  send_statistics({{4, 900}});
  EXPECT_EQ(device.statistics()[Statistic::kFree], 900u);
  EXPECT_EQ(device.statistics().answers, 2u);
}

TEST_F(BalloonDevice, CutStatisticsAreReadAsFarAsTheyGo) {
  const std::vector<std::byte> bytes(15);
  guest.submit(2, {{{guest.place(bytes), 15}}, {}, {}});
  EXPECT_EQ(device.statistics()[Statistic::kSwapIn], 0u);
  EXPECT_FALSE(guest.needs_reset());
}

TEST_F(BalloonDevice, AResetForgetsWhatTheDriverSaid) {
  device.set_target({10});
  guest.transport().write(0x100 + 4, 4, 10);
  send_statistics({{4, 1000}});
  guest.reset();
  EXPECT_EQ(device.actual(), Pages{0});
  EXPECT_EQ(device.target(), Pages{10}) << "but not what the host wants";
  EXPECT_EQ(device.statistics().answers, 0u);
  EXPECT_FALSE(device.request_statistics());
}

}  // namespace
}  // namespace cloister::device::virtio
