// SPDX-License-Identifier: Apache-2.0
#include "cell/condition_port.h"

#include <gtest/gtest.h>

#include <memory>

namespace cloister::cell {
namespace {

class ConditionPortTest : public ::testing::Test {
 protected:
  std::unique_ptr<RecordStream> connect() {
    auto [ours, theirs] = os::UnixStream::pair(os::SocketKind::kStream).take();
    port_.accept(std::move(theirs));
    return std::make_unique<RecordStream>(std::move(ours), 4096);
  }
  void turn() {
    rounds_ = 8;
    again();
    loop_->run();
  }
  void again() {
    loop_->post([this] { --rounds_ > 0 ? again() : loop_->stop(); });
  }
  static cloister_condition record_of(u64 number, u64 release = 0) {
    cloister_condition record{};
    record.changes = number;
    record.release = release;
    return record;
  }
  static std::vector<cloister_condition> heard(RecordStream& stream) {
    std::vector<cloister_condition> all;
    (void)stream.read();
    while (const auto record = stream.next()) all.push_back(record->as<cloister_condition>().value());
    return all;
  }

  std::unique_ptr<os::EventLoop> loop_ = os::EventLoop::create().take();
  ConditionPort port_{*loop_};
  int rounds_ = 0;
};

TEST_F(ConditionPortTest, WhoConnectsIsToldAtOnceAndThenWhatIsNew) {
  port_.renew(record_of(7));
  const auto guest = connect();
  auto all = heard(*guest);
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].changes, 7u);
  port_.renew(record_of(8));
  EXPECT_TRUE(heard(*guest).empty()) << "that was no news";
  port_.tell(record_of(9));
  all = heard(*guest);
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].changes, 9u);
}

TEST_F(ConditionPortTest, WhatIsToBeReleasedIsSharedAmongThem) {
  const auto first = connect(), second = connect();
  port_.tell(record_of(1, 64 * kPageSize));
  EXPECT_EQ(heard(*first).back().release, 32 * kPageSize);
  EXPECT_EQ(heard(*second).back().release, 32 * kPageSize);
}

TEST_F(ConditionPortTest, OneThatNeverReadsGetsTheNewestWhenItDoes) {
  const auto guest = connect();
  for (u64 i = 1; i <= 20'000; ++i) port_.tell(record_of(i));
  u64 last = 0, count = 0;
  for (int i = 0; i < 2000 && last < 20'000; ++i) {
    for (const auto& record : heard(*guest)) last = record.changes, ++count;
    turn();
  }
  EXPECT_EQ(last, 20'000u);
  EXPECT_LT(count, 20'000u) << "what it did not read did not pile up";
}

TEST_F(ConditionPortTest, WhoSpeaksOrGoesIsPartedFrom) {
  const auto guest = connect();
  auto other = connect();
  EXPECT_EQ(port_.clients(), 2u);
  guest->put(1, {});
  EXPECT_TRUE(guest->flush());
  other.reset();
  turn();
  EXPECT_EQ(port_.clients(), 0u);
}

TEST_F(ConditionPortTest, NoMoreThanItsBoundAreServed) {
  std::vector<std::unique_ptr<RecordStream>> guests;
  for (std::size_t i = 0; i < ConditionPort::kMostClients + 5; ++i) guests.push_back(connect());
  EXPECT_EQ(port_.clients(), ConditionPort::kMostClients);
}

}  // namespace
}  // namespace cloister::cell
