// SPDX-License-Identifier: Apache-2.0
#include "jit/code_cache.h"

#include <gtest/gtest.h>

#include <cstring>

namespace cloister::jit {
namespace {

constexpr std::size_t kPart = 64 * kKiB;

std::size_t fill(CodeCache& cache) {
  std::size_t parts = 0;
  while (cache.allocate(kPart).run != nullptr) ++parts;
  return parts;
}

TEST(CodeCache, OneHartMayHaveWhatTheOthersLeave) {
  const auto more = std::make_shared<CodeAllowance>(Bytes{kMiB});
  const auto first = CodeCache::create(Bytes{256 * kKiB}, more).take();
  const auto second = CodeCache::create(Bytes{256 * kKiB}, more).take();
  EXPECT_EQ(fill(*first), 20u);
  EXPECT_EQ(fill(*second), 4u);
}

TEST(CodeCache, WhatAHartGivesUpAnotherMayHave) {
  const auto more = std::make_shared<CodeAllowance>(Bytes{kMiB});
  const auto second = CodeCache::create(Bytes{256 * kKiB}, more).take();
  {
    const auto third = CodeCache::create(Bytes{256 * kKiB}, more).take();
    EXPECT_EQ(fill(*third), 20u);
  }
  const auto first = CodeCache::create(Bytes{256 * kKiB}, more).take();
  EXPECT_EQ(fill(*first), 20u);
  first->clear(0);
  EXPECT_EQ(fill(*second), 20u);
  EXPECT_EQ(fill(*first), 4u);
}

TEST(CodeCache, CodeRunsWhereItWasWritten) {
  const auto cache =
      CodeCache::create(Bytes{256 * kKiB}, std::make_shared<CodeAllowance>(Bytes{kMiB})).take();
  constexpr u8 kReturn = 0xc3;
  for (int round = 0; round < 3; ++round) {
    for (auto place = cache->allocate(kPart); place.run != nullptr; place = cache->allocate(kPart)) {
      std::memset(place.write.data(), kReturn, kPart);
      // Sanitizers look at a function's first bytes.
      reinterpret_cast<void (*)()>(reinterpret_cast<u64>(place.run + kPart - sizeof(u64)))();
    }
    const auto cold = cache->allocate_cold(1);
    EXPECT_EQ(cold.run, nullptr);
    cache->clear(0);
  }
}

}  // namespace
}  // namespace cloister::jit
