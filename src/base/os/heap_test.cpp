// SPDX-License-Identifier: Apache-2.0
#include "base/os/heap.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cstring>
#include <memory>
#include <thread>
#include <vector>

// A sanitizer's heap is another one.
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define CLOISTER_OTHER_HEAP
#endif
#endif

namespace cloister::os {
namespace {

#ifndef CLOISTER_OTHER_HEAP
constexpr std::size_t kSmall = 1000, kBlocks = 500;

long faults() {
  rusage usage = {};
  getrusage(RUSAGE_THREAD, &usage);
  return usage.ru_minflt;
}

// How many pages a new thread's heap had to be given for small blocks, one at a time.
long faults_of_small_blocks(Bytes prepared) {
  long count = 0;
  std::thread([&] {
    if (prepared.raw > 0) prepare_heap(prepared);
    std::vector<std::unique_ptr<char[]>> blocks(kBlocks);
    const long before = faults();
    for (auto& block : blocks) {
      block = std::make_unique<char[]>(kSmall);
      std::memset(block.get(), 1, kSmall);
    }
    count = faults() - before;
  }).join();
  return count;
}

TEST(Heap, WhatWasPreparedIsThereWhenItIsUsed) {
  EXPECT_GT(faults_of_small_blocks({0}), long{kSmall * kBlocks / kPageSize / 2});
  EXPECT_LT(faults_of_small_blocks({kMiB}), 16);
}
#endif

TEST(Heap, WhatWasPreparedIsFree) {
  prepare_heap({kMiB});
  const auto block = std::make_unique<char[]>(kMiB / 2);
  std::memset(block.get(), 1, kMiB / 2);
  prepare_heap({0});
  prepare_heap({1});
  EXPECT_EQ(block[kMiB / 2 - 1], 1);
}

}  // namespace
}  // namespace cloister::os
