// SPDX-License-Identifier: Apache-2.0
#include "device/uart.h"

#include <gtest/gtest.h>

#include <string>

namespace cloister::device {
namespace {

enum : u64 { kData = 0, kIer = 1, kIir = 2, kFcr = 2, kLcr = 3, kMcr = 4, kLsr = 5, kMsr = 6, kScr = 7 };
constexpr u32 kSource = 3;

struct UartWire final : InterruptController {
  void set_level(u32 source, bool level) override {
    EXPECT_EQ(source, kSource);
    high = level;
  }
  bool high = false;
};

struct Screen final : ConsoleSink {
  void write(std::span<const std::byte> bytes) override {
    ++writes;
    for (const std::byte byte : bytes) text.push_back(static_cast<char>(byte));
  }
  std::string text;
  int writes = 0;
};

struct UartTest : testing::Test {
  u64 get(u64 offset) { return uart.read(offset, 1); }
  void set(u64 offset, u64 value) { uart.write(offset, 1, value); }
  void type(std::string_view text) { EXPECT_EQ(console.offer(std::as_bytes(std::span(text))), text.size()); }

  UartWire wire;
  Screen screen;
  QueuedConsole console{screen};
  Uart uart{console, InterruptLine(wire, kSource)};
};

TEST_F(UartTest, WhatIsSentReachesTheScreenAtTheNextFlush) {
  for (const char c : std::string("hello")) set(kData, static_cast<u64>(c));
  uart.flush();
  EXPECT_EQ(screen.text, "hello");
  EXPECT_EQ(screen.writes, 1);
  uart.flush();
  EXPECT_EQ(screen.writes, 1);
}

TEST_F(UartTest, ALongOutputNeedsNoFlush) {
  for (std::size_t i = 0; i < Uart::kGather; ++i) set(kData, 'x');
  EXPECT_EQ(screen.text.size(), Uart::kGather);
}

TEST_F(UartTest, TheTransmitterIsAlwaysEmpty) {
  set(kData, 'x');
  EXPECT_EQ(get(kLsr), 0x60u);
}

TEST_F(UartTest, TypedBytesAreReadInOrderAndRaiseTheLine) {
  set(kIer, 1);
  EXPECT_FALSE(wire.high);
  type("ab");
  EXPECT_TRUE(wire.high);
  EXPECT_EQ(get(kLsr), 0x61u);
  EXPECT_EQ(get(kIir), 0x04u);
  EXPECT_EQ(get(kData), u64{'a'});
  EXPECT_TRUE(wire.high);
  EXPECT_EQ(get(kData), u64{'b'});
  EXPECT_FALSE(wire.high);
  EXPECT_EQ(get(kIir), 0x01u);
  EXPECT_EQ(get(kData), 0u);
}

TEST_F(UartTest, BelowTheTriggerLevelTheTimeoutInterruptTellsOfBytes) {
  set(kFcr, 0x81);  // FIFOs on, trigger at 8
  set(kIer, 1);
  type("1234567");
  EXPECT_EQ(get(kIir), 0xccu);
  type("8");
  EXPECT_EQ(get(kIir), 0xc4u);
}

// As Linux's 8250 driver tests for the missing-THRE-interrupt bug.
TEST_F(UartTest, EnablingTheTransmitterInterruptRaisesItEachTime) {
  for (int i = 0; i < 2; ++i) {
    set(kIer, 2);
    EXPECT_TRUE(wire.high);
    EXPECT_EQ(get(kIir), 0x02u);
    EXPECT_FALSE(wire.high);
    EXPECT_EQ(get(kIir), 0x01u);
    set(kIer, 0);
  }
}

TEST_F(UartTest, ASentByteRaisesTheTransmitterInterruptAgain) {
  set(kIer, 2);
  EXPECT_EQ(get(kIir), 0x02u);
  set(kData, 'x');
  EXPECT_TRUE(wire.high);
  EXPECT_EQ(get(kIir), 0x02u);
}

TEST_F(UartTest, AReceivedByteIsReportedBeforeTheTransmitter) {
  set(kIer, 3);
  type("a");
  EXPECT_EQ(get(kIir), 0x04u);
  EXPECT_EQ(get(kData), u64{'a'});
  EXPECT_EQ(get(kIir), 0x02u);
}

TEST_F(UartTest, TheDivisorLatchHidesDataAndInterruptEnable) {
  set(kIer, 5);
  set(kLcr, 0x83);
  set(kData, 2);
  set(kIer, 1);
  EXPECT_EQ(get(kData), 2u);
  EXPECT_EQ(get(kIer), 1u);
  set(kLcr, 3);
  EXPECT_EQ(get(kIer), 5u);
  uart.flush();
  EXPECT_EQ(screen.text, "");
}

TEST_F(UartTest, LoopbackTurnsModemLinesAndDataRound) {
  EXPECT_EQ(get(kMsr), 0xb0u);
  set(kMcr, 0x1a);
  EXPECT_EQ(get(kMsr), 0x90u);
  set(kData, 'l');
  EXPECT_EQ(get(kData), u64{'l'});
  uart.flush();
  EXPECT_EQ(screen.text, "");
}

TEST_F(UartTest, WhatFindsNoRoomInTheFifoFollows) {
  set(kIer, 1);
  const std::string text = "more than sixteen characters";
  type(text);
  std::string got;
  while ((get(kLsr) & 1) != 0) got.push_back(static_cast<char>(get(kData)));
  EXPECT_EQ(got, text);
  EXPECT_FALSE(wire.high);
}

TEST_F(UartTest, WhatWasTypedBeforeTheDriverStartedIsNotClearedWithTheFifo) {
  type("early");
  set(kFcr, 0x07);
  set(kFcr, 0x00);
  set(kIer, 1);
  EXPECT_TRUE(wire.high);
  EXPECT_EQ(get(kData), u64{'e'});
}

TEST_F(UartTest, ClearingTheReceiverLosesWhatTheFifoHeld) {
  set(kIer, 1);
  type(std::string(16, 'z') + "a");
  set(kFcr, 0x03);
  EXPECT_EQ(get(kLsr) & 1, 1u);
  EXPECT_EQ(get(kData), u64{'a'});
}

TEST_F(UartTest, ResetSendsWhatWaitsAndLowersTheLine) {
  set(kIer, 2);
  set(kData, 'x');
  uart.reset();
  EXPECT_FALSE(wire.high);
  EXPECT_EQ(screen.text, "x");
  EXPECT_EQ(get(kIer), 0u);
}

TEST_F(UartTest, OtherAccessesReadZeroAndWriteNothing) {
  uart.write(kData, 4, 'x');
  uart.write(8, 1, 'x');
  EXPECT_EQ(uart.read(kLsr, 2), 0u);
  EXPECT_EQ(uart.read(0xff, 1), 0u);
  uart.flush();
  EXPECT_EQ(screen.text, "");
  set(kScr, 0xa5);
  EXPECT_EQ(get(kScr), 0xa5u);
}

}  // namespace
}  // namespace cloister::device
