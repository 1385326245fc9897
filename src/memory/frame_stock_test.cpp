// SPDX-License-Identifier: Apache-2.0
#include "memory/frame_stock.h"

#include <gtest/gtest.h>

#include <thread>

#include "memory/testing_host.h"

namespace cloister::memory {
namespace {

using testing::Pool;

constexpr Pages kBatch = FrameStock::kBatch;

TEST(FrameStock, WithoutASourceThereIsNoEndOfFrames) {
  FrameStock stock;
  EXPECT_EQ(stock.take({1'000'000}), Pages{1'000'000});
  EXPECT_EQ(stock.try_take({5}), Pages{5});
  EXPECT_EQ(stock.take_from_here({1}), Pages{1});
  stock.put({100});
  EXPECT_EQ(stock.stocked(), Pages{0});
}

TEST(FrameStock, AsksForABatchAndGivesOneByOne) {
  Pool pool({1000});
  FrameStock stock;
  stock.set_source(&pool);
  EXPECT_EQ(stock.take_from_here({1}), Pages{0});
  EXPECT_EQ(stock.take({1}), Pages{1});
  EXPECT_EQ(pool.free() + kBatch, Pages{1000});
  for (u64 i = 1; i < kBatch.raw; ++i) EXPECT_EQ(stock.take_from_here({1}), Pages{1});
  EXPECT_EQ(stock.take_from_here({1}), Pages{0});
}

TEST(FrameStock, TakesWhatThereIsWhenItIsLess) {
  Pool pool({10});
  FrameStock stock;
  stock.set_source(&pool);
  EXPECT_EQ(stock.take({64}), Pages{10});
  EXPECT_EQ(stock.try_take({64}), Pages{0});
}

TEST(FrameStock, KeepsNoMoreThanTwoBatches) {
  Pool pool({2000});
  FrameStock stock;
  stock.set_source(&pool);
  ASSERT_EQ(stock.take({2000}), Pages{2000});
  stock.put(kBatch + kBatch);
  EXPECT_EQ(pool.free(), Pages{0});
  stock.put({1});
  EXPECT_EQ(stock.stocked(), kBatch);
  EXPECT_EQ(pool.free(), kBatch + Pages{1});
}

TEST(FrameStock, KeepsNothingWhileItShrinks) {
  Pool pool({100});
  FrameStock stock;
  stock.set_source(&pool);
  ASSERT_EQ(stock.take({20}), Pages{20});
  EXPECT_EQ(stock.begin_shrinking(), Pages{80});
  stock.put({5});
  EXPECT_EQ(pool.free(), Pages{85});
  EXPECT_EQ(stock.end_shrinking(), Pages{85});
  stock.put({5});
  EXPECT_EQ(stock.stocked(), Pages{5});
}

TEST(FrameStock, WaitsUntilAFrameIsGivenBack) {
  Pool pool({0});
  FrameStock stock;
  stock.set_source(&pool);
  std::thread giver([&] {
    while (pool.waits() == 0) std::this_thread::yield();
    pool.give_back({3});
  });
  EXPECT_EQ(stock.take({5}), Pages{3});
  giver.join();
}

TEST(FrameStock, GetsNothingOnceThereIsNoneToCome) {
  Pool pool({0});
  FrameStock stock;
  stock.set_source(&pool);
  pool.close();
  EXPECT_EQ(stock.take({5}), Pages{0});
}

}  // namespace
}  // namespace cloister::memory
