// SPDX-License-Identifier: Apache-2.0
#include "cell/balloon_port.h"

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <thread>

namespace cloister::cell {
namespace {

constexpr u64 kPageBytes = kPageSize;

class BalloonPortTest : public ::testing::Test {
 protected:
  // One that connects, and says what it could give.
  RecordStream* join(u64 most_pages) {
    RecordStream* stream = connect();
    cloister_balloon_hello hello{};
    hello.version = CLOISTER_ABI_VERSION;
    hello.most = most_pages * kPageBytes;
    stream->put_value(CLOISTER_RECORD_BALLOON_HELLO, hello);
    EXPECT_TRUE(stream->flush());
    turn();
    return stream;
  }
  RecordStream* connect() {
    auto [ours, theirs] = os::UnixStream::pair(os::SocketKind::kStream).take();
    port_.accept(std::move(theirs));
    guests_.push_back(std::make_unique<RecordStream>(std::move(ours), 4096));
    return guests_.back().get();
  }
  void turn() {
    rounds_ = 8;
    again();
    loop_->run();
  }
  void again() {
    loop_->post([this] { --rounds_ > 0 ? again() : loop_->stop(); });
  }
  // The newest order's target in pages; nothing when none came.
  static std::optional<u64> ordered(RecordStream* stream) {
    std::optional<u64> target;
    (void)stream->read();
    while (const auto record = stream->next()) {
      EXPECT_EQ(record->kind, u32{CLOISTER_RECORD_BALLOON_ORDER});
      target = record->as<cloister_balloon_order>().value().target / kPageBytes;
    }
    return target;
  }
  // The newest order's serial; 0 when none came.
  static u64 serial_of_order(RecordStream* stream) {
    u64 serial = 0;
    (void)stream->read();
    while (const auto record = stream->next()) serial = record->as<cloister_balloon_order>().value().serial;
    return serial;
  }
  void tell(RecordStream* stream, u64 held_pages, u32 reason, u32 pressure = 0, u64 serial = 0) {
    cloister_balloon_state state{};
    state.serial = serial;
    state.held = held_pages * kPageBytes;
    state.reason = reason;
    state.pressure = pressure;
    stream->put_value(CLOISTER_RECORD_BALLOON_STATE, state);
    EXPECT_TRUE(stream->flush());
    turn();
  }
  // Whether the port has parted from it.
  static bool parted(RecordStream* stream) {
    for (int i = 0; i < 5; ++i) {
      while (stream->next()) continue;
      if (!stream->read()) return true;
    }
    return false;
  }

  std::unique_ptr<os::EventLoop> loop_ = os::EventLoop::create().take();
  int changes_ = 0;
  static constexpr Nanos kSignsLast{2'000'000'000};
  BalloonPort port_{*loop_, [this] { ++changes_; }, kSignsLast};
  std::vector<std::unique_ptr<RecordStream>> guests_;
  int rounds_ = 0;
};

TEST_F(BalloonPortTest, WhoSaysWhatItIsGetsAnOrder) {
  RecordStream* guest = join(1000);
  EXPECT_EQ(ordered(guest), 0u);
  EXPECT_EQ(port_.figures().applications, 1u);
  EXPECT_EQ(changes_, 1);
  port_.order({300 * kPageBytes, 0, 0});
  EXPECT_EQ(ordered(guest), 300u);
  port_.order({300 * kPageBytes, 0, 0});
  EXPECT_EQ(ordered(guest), std::nullopt) << "nothing new";
  tell(guest, 200, CLOISTER_BALLOON_WORKING, 150);
  EXPECT_EQ(port_.figures().held, 200 * kPageBytes);
  EXPECT_EQ(port_.figures().signs.pressure, 150u);
}

TEST_F(BalloonPortTest, WhatWasSaidOfPressureLongAgoHoldsNoLonger) {
  tell(join(1000), 200, CLOISTER_BALLOON_PRESSURE, 2295);
  EXPECT_EQ(port_.figures().signs.pressure, 2295u);
  std::this_thread::sleep_for(std::chrono::nanoseconds(kSignsLast.raw));
  EXPECT_EQ(port_.figures().signs.pressure, 0u) << "an order of nothing would never be followed by another";
  EXPECT_EQ(port_.figures().held, 200 * kPageBytes) << "but a balloon lasts";
}

TEST_F(BalloonPortTest, WhoeverHasRoomInItsSwapCanSwap) {
  RecordStream* guest = join(1000);
  const auto say = [&](u64 total, u64 free) {
    cloister_balloon_state state{};
    state.available = 3 * kPageBytes;
    state.swap_total = total * kPageBytes;
    state.swap_free = free * kPageBytes;
    guest->put_value(CLOISTER_RECORD_BALLOON_STATE, state);
    EXPECT_TRUE(guest->flush());
    turn();
    return port_.figures().signs.can_swap;
  };
  EXPECT_TRUE(say(800, 500));
  EXPECT_FALSE(say(800, 100)) << "it is nearly full";
  EXPECT_FALSE(say(0, 0));
  EXPECT_EQ(port_.figures().signs.available, policy::memory::Units{3});
}

TEST_F(BalloonPortTest, TwoShareTheTargetAndOneUnderPressureGivesLess) {
  RecordStream* small = join(1000);
  RecordStream* large = join(3000);
  port_.order({400 * kPageBytes, 0, 0});
  EXPECT_EQ(ordered(small), 100u);
  EXPECT_EQ(ordered(large), 300u);
  tell(large, 0, CLOISTER_BALLOON_PRESSURE, 3000);
  EXPECT_EQ(ordered(small), 400 * 1000 / 1750u);
  EXPECT_EQ(ordered(large), 400 * 750 / 1750u);
}

TEST_F(BalloonPortTest, TheEndOfOneIsTheOthersMatter) {
  RecordStream* first = join(1000);
  join(1000);
  port_.order({400 * kPageBytes, 0, 0});
  EXPECT_EQ(ordered(first), 200u);
  guests_.pop_back();
  turn();
  EXPECT_EQ(port_.figures().applications, 1u);
  EXPECT_EQ(ordered(first), 400u);
}

TEST_F(BalloonPortTest, AnswersToTheNewestOrderSayWhetherMoreMayCome) {
  RecordStream* first = join(1000);
  RecordStream* second = join(1000);
  port_.order({400 * kPageBytes, 0, 0});
  turn();
  const u64 one = serial_of_order(first), two = serial_of_order(second);
  tell(first, 150, CLOISTER_BALLOON_LIMIT, 0, one);
  tell(second, 100, CLOISTER_BALLOON_WORKING, 0, two);
  EXPECT_FALSE(port_.figures().settled);
  tell(second, 200, CLOISTER_BALLOON_MET, 0, two);
  EXPECT_TRUE(port_.figures().settled);
  EXPECT_FALSE(port_.figures().spent) << "the second would give more";
  port_.order({3000 * kPageBytes, 0, 0});
  turn();
  EXPECT_FALSE(port_.figures().settled) << "what was said is of the order before";
  tell(first, 150, CLOISTER_BALLOON_LIMIT, 0, serial_of_order(first));
  tell(second, 1000, CLOISTER_BALLOON_MET, 0, serial_of_order(second));
  EXPECT_TRUE(port_.figures().spent) << "it gives all that it can";
}

TEST_F(BalloonPortTest, NonsenseEndsTheConversation) {
  RecordStream* first = connect();
  first->put(CLOISTER_RECORD_BALLOON_STATE, {});
  EXPECT_TRUE(first->flush());
  turn();
  EXPECT_TRUE(parted(first)) << "a state before a greeting";
  RecordStream* second = join(10);
  second->put(CLOISTER_RECORD_BALLOON_HELLO, {});
  EXPECT_TRUE(second->flush());
  turn();
  EXPECT_TRUE(parted(second)) << "a second greeting, of no size";
  RecordStream* third = join(10);
  third->put(77, std::vector<std::byte>(3000));
  EXPECT_TRUE(third->flush());
  turn();
  EXPECT_TRUE(parted(third)) << "a record that is longer than any";
  EXPECT_EQ(port_.figures().applications, 0u);
}

TEST_F(BalloonPortTest, OneThatTalksWithoutEndIsPartedFrom) {
  RecordStream* guest = join(10);
  for (int i = 0; i < 300 && !parted(guest); ++i) {
    guest->put_value(CLOISTER_RECORD_BALLOON_STATE, cloister_balloon_state{});
    (void)guest->flush();
    turn();
  }
  EXPECT_TRUE(parted(guest));
}

TEST_F(BalloonPortTest, OneThatNeverReadsGetsTheNewestOrderOnly) {
  RecordStream* guest = join(100'000);
  for (u64 i = 1; i <= 20'000; ++i) port_.order({i * kPageBytes, 0, 0});
  turn();
  u64 last = 0;
  for (int i = 0; i < 2000 && last < 20'000; ++i) {
    last = ordered(guest).value_or(last);
    turn();
  }
  EXPECT_EQ(last, 20'000u);
}

TEST_F(BalloonPortTest, NoMoreThanItsBoundAreServed) {
  for (std::size_t i = 0; i < BalloonPort::kMostClients; ++i) join(1);
  EXPECT_TRUE(parted(connect()));
  EXPECT_EQ(port_.figures().applications, BalloonPort::kMostClients);
}

TEST_F(BalloonPortTest, WhatItClaimsToHoldIsAtMostWhatItCould) {
  RecordStream* guest = join(100);
  tell(guest, ~u64{0} / kPageBytes, CLOISTER_BALLOON_MET);
  EXPECT_EQ(port_.figures().held, 100 * kPageBytes);
}

}  // namespace
}  // namespace cloister::cell
