// SPDX-License-Identifier: Apache-2.0
#include "device/virtio/console/console.h"

#include <gtest/gtest.h>

#include <thread>

#include "device/virtio/testing/guest.h"

namespace cloister::device::virtio {
namespace {

using testing::Guest;

struct Screen final : ConsoleSink {
  void write(std::span<const std::byte> bytes) override {
    text.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  std::string text;
};

struct ConsoleDevice : ::testing::Test {
  Screen screen;
  QueuedConsole backend{screen};
  Console device{backend};
  Guest guest{device};

  std::size_t type(std::string_view text) { return backend.offer(std::as_bytes(std::span(text))); }
  GuestPhys add_room(u32 size) {
    const auto to = guest.allocate(size);
    guest.submit(0, {{}, {{to, size}}, {}});
    return to;
  }
};

TEST_F(ConsoleDevice, WhatTheGuestPrintsIsShown) {
  guest.start(kVersion1);
  EXPECT_EQ(guest.run(1, {{{guest.place("hello "), 6}, {guest.place("screen"), 6}}, {}, {}}), 0u);
  guest.run(1, {{{guest.place(std::string(5000, '.')), 5000}}, {}, {}});
  EXPECT_EQ(screen.text, "hello screen" + std::string(5000, '.'));
}

TEST_F(ConsoleDevice, AnEndlessBufferIsCutOff) {
  guest.start(kVersion1);
  const auto page = guest.allocate(4 * kMiB);
  guest.run(1, {{{page, 4 * kMiB}, {page, 4 * kMiB}}, {}, {}});
  EXPECT_EQ(screen.text.size(), Console::kMaxOutput);
}

TEST_F(ConsoleDevice, InputGoesToTheBuffersThatWait) {
  guest.start(kVersion1 | kEventIndex);
  const auto a = add_room(16), b = add_room(16);
  EXPECT_EQ(type("one"), 3u);
  EXPECT_EQ(guest.wait_used(0).written, 3u);
  EXPECT_EQ(guest.text_at(a, 3), "one");
  type("two!");
  EXPECT_EQ(guest.wait_used(0).written, 4u);
  EXPECT_EQ(guest.text_at(b, 4), "two!");
  EXPECT_EQ(guest.take_interrupts(), 1u);
}

TEST_F(ConsoleDevice, InputWaitsForABuffer) {
  type("early ");
  guest.start(kVersion1 | kEventIndex);
  type("bird");
  const auto to = add_room(8);
  EXPECT_EQ(guest.wait_used(0).written, 8u);
  EXPECT_EQ(guest.text_at(to, 8), "early bi");
  EXPECT_FALSE(guest.queue(0).take_used());
  const auto rest = add_room(8);
  EXPECT_EQ(guest.wait_used(0).written, 2u);
  EXPECT_EQ(guest.text_at(rest, 2), "rd");
}

TEST_F(ConsoleDevice, InputIsBounded) {
  EXPECT_EQ(type(std::string(100'000, 'x')), QueuedConsole::kInputLimit);
  EXPECT_EQ(type("y"), 0u);
}

TEST_F(ConsoleDevice, AReceiveBufferWithoutRoomNeedsAReset) {
  guest.start(kVersion1);
  guest.submit(0, {{{guest.allocate(8), 8}}, {}, {}});
  type("x");
  EXPECT_TRUE(guest.needs_reset());
}

TEST_F(ConsoleDevice, TypingGoesOnThroughResets) {
  std::thread typist([&] {
    for (int i = 0; i < 2000; ++i) type("abc");
  });
  for (int round = 0; round < 100; ++round) {
    guest.start(kVersion1 | kPackedRing);
    for (int i = 0; i < 10; ++i) add_room(5);
    guest.reset();
  }
  typist.join();
}

TEST(QueuedConsoleInput, StopsCallingAListenerThatLeft) {
  Screen screen;
  QueuedConsole console(screen);
  int calls = 0;
  console.set_input_ready([&] { ++calls; });
  console.offer(std::as_bytes(std::span("ab", 2)));
  console.set_input_ready({});
  console.offer(std::as_bytes(std::span("cd", 2)));
  EXPECT_EQ(calls, 1);
  std::byte bytes[8];
  EXPECT_EQ(console.take_input(bytes), 4u);
  EXPECT_EQ(console.take_input(bytes), 0u);
}

}  // namespace
}  // namespace cloister::device::virtio
