// SPDX-License-Identifier: Apache-2.0
#include "machine/sbi.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <optional>
#include <string>

namespace cloister::machine {
namespace {

constexpr u64 kBase = 0x10;
constexpr u64 kTime = 0x54494d45;
constexpr u64 kIpi = 0x735049;
constexpr u64 kRfence = 0x52464e43;
constexpr u64 kHsm = 0x48534d;
constexpr u64 kSrst = 0x53525354;
constexpr u64 kDbcn = 0x4442434e;
constexpr u64 kPmu = 0x504d55;

constexpr u32 kHarts = 4;
constexpr u64 kMemory = 0x8000'0000;
constexpr u64 kMemorySize = 0x1'0000;

struct FakePlatform final : SbiPlatform {
  u32 hart_count() const override { return kHarts; }
  void set_timer(u32 hart, u64 deadline) override { timers[hart] = deadline; }
  void set_software_interrupt(HartMask harts, bool pending) override {
    interrupted = pending ? interrupted | harts : interrupted & ~harts;
  }
  void remote_fence(u32, HartMask harts, const RemoteFence& what) override { fenced = harts, fence = what; }
  HartState hart_state(u32 hart) override { return states[hart]; }
  bool start_hart(u32 hart, GuestPhys, u64) override {
    if (states[hart] != HartState::kStopped) return false;
    states[hart] = HartState::kStartPending;
    return true;
  }
  void stop_hart(u32 hart) override { states[hart] = HartState::kStopped; }
  void suspend_hart(u32 hart) override { states[hart] = HartState::kSuspended; }
  void reset_system(u32, ResetType type, ResetReason reason) override { reset = {type, reason}; }
  bool is_memory(GuestPhys address, u64 bytes) override {
    return address.raw >= kMemory && address.raw - kMemory <= kMemorySize &&
           bytes <= kMemorySize - (address.raw - kMemory);
  }
  bool read_memory(GuestPhys address, std::span<std::byte> to) override {
    if (!is_memory(address, to.size())) return false;
    std::memcpy(to.data(), memory.data() + (address.raw - kMemory), to.size());
    return true;
  }
  bool write_memory(GuestPhys address, std::span<const std::byte> from) override {
    if (!is_memory(address, from.size())) return false;
    std::memcpy(memory.data() + (address.raw - kMemory), from.data(), from.size());
    return true;
  }
  void console_write(std::span<const std::byte> bytes) override {
    for (const std::byte b : bytes) printed.push_back(static_cast<char>(b));
  }
  std::size_t console_read(std::span<std::byte> to) override {
    const std::size_t count = std::min(to.size(), typed.size());
    std::memcpy(to.data(), typed.data(), count);
    typed.erase(0, count);
    return count;
  }
  void set_counter(u32, Counter counter, u64 value) override { counters[counter] = value; }

  std::map<u32, u64> timers;
  HartMask interrupted = 0;
  HartMask fenced = 0;
  RemoteFence fence;
  std::map<u32, HartState> states = {{1, HartState::kStopped}, {2, HartState::kStopped}};
  std::optional<std::pair<ResetType, ResetReason>> reset;
  std::vector<std::byte> memory = std::vector<std::byte>(kMemorySize);
  std::string printed;
  std::string typed;
  std::map<Counter, u64> counters;
};

struct SbiTest : testing::Test {
  SbiResult call(u64 extension, u64 function, std::array<u64, 6> arguments = {}) {
    return sbi.call({0, extension, function, arguments});
  }
  SbiError error(u64 extension, u64 function, std::array<u64, 6> arguments = {}) {
    return call(extension, function, arguments).error();
  }
  FakePlatform platform;
  Sbi sbi{platform};
};

TEST_F(SbiTest, TellsItsVersionAndItsExtensions) {
  EXPECT_EQ(call(kBase, 0).a1, 0x0200'0000u);
  for (const u64 extension : {kBase, kTime, kIpi, kRfence, kHsm, kSrst, kDbcn, kPmu})
    EXPECT_EQ(call(kBase, 3, {extension}).a1, 1u) << extension;
  EXPECT_EQ(call(kBase, 3, {0x12345678}).a1, 0u);
}

TEST_F(SbiTest, WhatItDoesNotKnowIsNotSupported) {
  EXPECT_EQ(error(0x12345678, 0), SbiError::kNotSupported);
  EXPECT_EQ(error(kTime, 1), SbiError::kNotSupported);
  EXPECT_EQ(error(kRfence, 3), SbiError::kNotSupported);  // hfence: there is no hypervisor extension
}

TEST_F(SbiTest, AHartMaskCountsFromItsBase) {
  EXPECT_EQ(error(kIpi, 0, {0b11, 1}), SbiError::kSuccess);
  EXPECT_EQ(platform.interrupted, 0b110u);
  EXPECT_EQ(error(kIpi, 0, {0, ~u64{0}}), SbiError::kSuccess);
  EXPECT_EQ(platform.interrupted, 0b1111u);
}

TEST_F(SbiTest, AHartThatIsNotThereIsAnInvalidParameter) {
  EXPECT_EQ(error(kIpi, 0, {0b11, 3}), SbiError::kInvalidParam);
  EXPECT_EQ(error(kIpi, 0, {1, 64}), SbiError::kInvalidParam);
  EXPECT_EQ(error(kIpi, 0, {u64{1} << 63, 3}), SbiError::kInvalidParam);
  EXPECT_EQ(error(kRfence, 0, {0b10000, 0}), SbiError::kInvalidParam);
  EXPECT_EQ(platform.interrupted, 0u);
  EXPECT_EQ(error(kIpi, 0, {0, 99}), SbiError::kSuccess);
}

TEST_F(SbiTest, RemoteFencesCarryTheirRange) {
  EXPECT_EQ(error(kRfence, 0, {0b10, 0}), SbiError::kSuccess);
  EXPECT_EQ(platform.fenced, 0b10u);
  EXPECT_EQ(platform.fence.kind, FenceKind::kInstructions);
  EXPECT_EQ(error(kRfence, 2, {0b1, 2, 0x1000, 0x3000, 7}), SbiError::kSuccess);
  EXPECT_EQ(platform.fenced, 0b100u);
  EXPECT_EQ(platform.fence.kind, FenceKind::kTranslationsOfAsid);
  EXPECT_EQ(platform.fence.start.raw, 0x1000u);
  EXPECT_EQ(platform.fence.size, 0x3000u);
  EXPECT_EQ(platform.fence.asid, 7u);
}

TEST_F(SbiTest, AHartIsStartedOnce) {
  EXPECT_EQ(call(kHsm, 2, {1}).a1, 1u);
  EXPECT_EQ(error(kHsm, 0, {1, kMemory, 5}), SbiError::kSuccess);
  EXPECT_EQ(call(kHsm, 2, {1}).a1, 2u);
  EXPECT_EQ(error(kHsm, 0, {1, kMemory, 5}), SbiError::kAlreadyAvailable);
}

TEST_F(SbiTest, AHartIsStartedOnlyInMemory) {
  EXPECT_EQ(error(kHsm, 0, {kHarts, kMemory}), SbiError::kInvalidParam);
  EXPECT_EQ(error(kHsm, 0, {1, 0x1000}), SbiError::kInvalidAddress);
  EXPECT_EQ(error(kHsm, 0, {1, kMemory + 1}), SbiError::kInvalidAddress);
  EXPECT_EQ(error(kHsm, 0, {1, kMemory + kMemorySize}), SbiError::kInvalidAddress);
  EXPECT_EQ(error(kHsm, 2, {kHarts}), SbiError::kInvalidParam);
}

TEST_F(SbiTest, OnlyTheRetentiveSuspendIsThere) {
  EXPECT_EQ(error(kHsm, 3, {0x8000'0000}), SbiError::kNotSupported);
  EXPECT_EQ(error(kHsm, 3, {0x9000'0000}), SbiError::kNotSupported);
  EXPECT_EQ(error(kHsm, 3, {0x8000'0001}), SbiError::kInvalidParam);
  EXPECT_EQ(error(kHsm, 3, {1}), SbiError::kInvalidParam);
  EXPECT_EQ(error(kHsm, 3, {u64{1} << 32}), SbiError::kInvalidParam);
  EXPECT_EQ(error(kHsm, 3, {0}), SbiError::kSuccess);
  EXPECT_EQ(platform.states[0], HartState::kSuspended);
}

TEST_F(SbiTest, ResetKeepsItsTypeAndReason) {
  EXPECT_EQ(error(kSrst, 0, {3, 0}), SbiError::kInvalidParam);
  EXPECT_EQ(error(kSrst, 0, {0, 2}), SbiError::kInvalidParam);
  EXPECT_EQ(error(kSrst, 0, {0xf000'0000, 0}), SbiError::kInvalidParam);
  EXPECT_FALSE(platform.reset);
  EXPECT_EQ(error(kSrst, 0, {2, 1}), SbiError::kSuccess);
  EXPECT_EQ(platform.reset, std::pair(ResetType::kReboot, ResetReason::kSystemFailure));
}

TEST_F(SbiTest, TheDebugConsoleReadsAndWritesMemory) {
  std::memcpy(platform.memory.data() + 16, "hello", 5);
  EXPECT_EQ(call(kDbcn, 0, {5, kMemory + 16, 0}).a1, 5u);
  EXPECT_EQ(platform.printed, "hello");
  platform.typed = "abc";
  EXPECT_EQ(call(kDbcn, 1, {10, kMemory, 0}).a1, 3u);
  EXPECT_EQ(std::memcmp(platform.memory.data(), "abc", 3), 0);
  EXPECT_EQ(error(kDbcn, 2, {'!'}), SbiError::kSuccess);
  EXPECT_EQ(platform.printed, "hello!");
}

TEST_F(SbiTest, TheDebugConsoleRefusesWhatIsNoMemory) {
  EXPECT_EQ(error(kDbcn, 0, {5, kMemory + kMemorySize - 4, 0}), SbiError::kInvalidParam);
  EXPECT_EQ(error(kDbcn, 0, {~u64{0}, kMemory, 0}), SbiError::kInvalidParam);
  EXPECT_EQ(error(kDbcn, 1, {1, kMemory, 1}), SbiError::kInvalidParam);
  EXPECT_EQ(platform.printed, "");
}

TEST_F(SbiTest, ALongDebugMessageIsTakenInPieces) {
  EXPECT_EQ(call(kDbcn, 0, {kMemorySize, kMemory, 0}).a1, 4096u);
  EXPECT_EQ(platform.printed.size(), 4096u);
}

TEST_F(SbiTest, LegacyCallsLeaveA1Alone) {
  EXPECT_TRUE(call(1, 77, {'x'}).keeps_a1);
  EXPECT_EQ(platform.printed, "x");
  EXPECT_EQ(call(2, 0).a0, ~u64{0});
  platform.typed = "y";
  EXPECT_EQ(call(2, 0).a0, u64{'y'});
  EXPECT_TRUE(call(0, 0, {123}).keeps_a1);
  EXPECT_EQ(platform.timers[0], 123u);
  call(8, 0);
  EXPECT_EQ(platform.reset->first, ResetType::kShutdown);
}

TEST_F(SbiTest, TheCountersAreCyclesAndInstructions) {
  EXPECT_EQ(call(kPmu, 0).a1, 2u);
  EXPECT_EQ(call(kPmu, 1, {1}).a1, 0x3fc02u);
  EXPECT_EQ(error(kPmu, 1, {2}), SbiError::kInvalidParam);
  EXPECT_EQ(call(kPmu, 2, {0, 0b11, 0, 2}).a1, 1u);
  EXPECT_EQ(call(kPmu, 2, {0, 0b11, 0, 1}).a1, 0u);
  EXPECT_EQ(error(kPmu, 2, {0, 0b11, 0, 3}), SbiError::kNotSupported);
  EXPECT_EQ(error(kPmu, 2, {0, 0b111, 0, 1}), SbiError::kInvalidParam);
}

TEST_F(SbiTest, ACounterStartsAndStopsOnce) {
  EXPECT_EQ(error(kPmu, 3, {1, 1, 1, 1000}), SbiError::kSuccess);
  EXPECT_EQ(platform.counters[Counter::kInstructions], 1000u);
  EXPECT_EQ(error(kPmu, 3, {1, 1, 0, 0}), SbiError::kAlreadyStarted);
  EXPECT_EQ(error(kPmu, 4, {1, 1, 0}), SbiError::kSuccess);
  EXPECT_EQ(error(kPmu, 4, {1, 1, 0}), SbiError::kAlreadyStopped);
  EXPECT_EQ(error(kPmu, 4, {5, 1, 0}), SbiError::kInvalidParam);
}

}  // namespace
}  // namespace cloister::machine
