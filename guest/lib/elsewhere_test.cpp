// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <cloister/guest.hpp>

#include <thread>
#include <vector>

// This machine is none of Cloister's.
namespace cloister::guest {
namespace {

TEST(Elsewhere, EveryCallSaysNotHere) {
  cloister_condition condition = {};
  Watch watch;
  Waiter waiter;
  Balloon balloon;
  Orders orders;
  EXPECT_EQ(discover().status, CLOISTER_NOT_HERE);
  EXPECT_EQ(read_condition(condition), CLOISTER_NOT_HERE);
  EXPECT_EQ(watch.open(), CLOISTER_NOT_HERE);
  EXPECT_EQ(waiter.open(), CLOISTER_NOT_HERE);
  EXPECT_EQ(balloon.open(1 << 20), CLOISTER_NOT_HERE);
  EXPECT_EQ(orders.open("test", 1 << 20), CLOISTER_NOT_HERE);
  EXPECT_FALSE(watch || waiter || balloon || orders);
}

TEST(Elsewhere, ManyThreadsMayAskAtOnce) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i)
    threads.emplace_back([] { EXPECT_EQ(cloister_discover(nullptr, nullptr), CLOISTER_NOT_HERE); });
  for (std::thread& one : threads) one.join();
}

TEST(Statuses, AllHaveWords) {
  for (int status = 0; status < 80; ++status) EXPECT_NE(cloister_status_text(status), nullptr);
  EXPECT_STREQ(cloister_status_text(12345), "a status that this library does not know");
}

}  // namespace
}  // namespace cloister::guest
