// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <vector>

#include "memory/guest_memory.h"
#include "memory/testing_hart.h"
#include "memory/testing_host.h"

namespace cloister::memory {
namespace {

using namespace testing;

class ClearTest : public ::testing::Test {
 protected:
  static constexpr u64 kPages = 16;

  ~ClearTest() override { memory->check_invariants(); }
  bool clear(u64 page) {
    hart.enter();
    const bool cleared = hart.clear(nth(page));
    hart.leave();
    return cleared;
  }
  void put(u64 page, u8 byte) {
    ASSERT_TRUE(memory->write(nth(page).address(), std::vector(kPageSize, std::byte{byte})));
  }
  std::vector<std::byte> get(u64 page) {
    std::vector<std::byte> content(kPageSize);
    EXPECT_TRUE(memory->read(nth(page).address(), content));
    return content;
  }

  std::unique_ptr<SwapFile> swap = make_swap(Pages{kPages});
  std::unique_ptr<GuestMemory> memory = GuestMemory::create(kBase, {kPages * kPageSize}).take();
  CachingHart hart{*memory};
  const std::vector<std::byte> zeros = std::vector<std::byte>(kPageSize);
};

TEST_F(ClearTest, APageThatWasNeverWrittenIsWrittenAndHasNoFrame) {
  EXPECT_TRUE(clear(1));
  EXPECT_EQ(memory->host(), Bytes{0});
  EXPECT_TRUE(memory->has_marks(nth(1), PageWord::kWriteMarks)) << "as by a store";
  EXPECT_TRUE(clear(1)) << "again";
  hart.enter();
  hart.store(word_at(1, 5), 7);
  EXPECT_EQ(hart.load(word_at(1, 5)), 7u);
  hart.leave();
  EXPECT_EQ(memory->state(nth(1)), PageState::kPrivate);
}

TEST_F(ClearTest, APageWithAFrameIsTheCallersToClear) {
  put(1, 7);
  EXPECT_FALSE(clear(1));
  EXPECT_EQ(get(1)[0], std::byte{7});
  EXPECT_FALSE(clear(kPages)) << "no memory";
}

TEST_F(ClearTest, WhatLiesElsewhereIsLetGoOf) {
  memory->set_swap(*swap);
  for (const u64 page : {1u, 2u}) put(page, static_cast<u8>(page));
  std::vector<Gpn> left;
  memory->evict(std::vector<Gpn>{nth(1), nth(2)}, Ways().with(Way::kCompress), left);
  ASSERT_EQ(memory->usage().in(PageState::kCompressed), Pages{2});
  const auto three = std::vector<Gpn>{nth(3)};
  (void)memory->end_filling(three, memory->begin_filling(three));
  ASSERT_TRUE(memory->show_condition(nth(4)));
  for (u64 page = 1; page <= 4; ++page) {
    EXPECT_TRUE(clear(page));
    EXPECT_EQ(get(page), zeros) << page;
    EXPECT_EQ(memory->state(nth(page)), PageState::kZero) << page;
  }
  EXPECT_EQ(memory->host(), Bytes{0});
}

// A hart that has the page sees the zeros.
TEST_F(ClearTest, TranslationsToWhatItWasAreTakenBack) {
  const auto one = std::vector<Gpn>{nth(1)};
  (void)memory->end_filling(one, memory->begin_filling(one));
  CachingHart other(*memory);
  other.enter();
  EXPECT_NE(other.load(word_at(1, 0)), 0u);
  other.leave();
  EXPECT_TRUE(clear(1));
  other.enter();
  EXPECT_EQ(other.load(word_at(1, 0)), 0u);
  other.leave();
}

}  // namespace
}  // namespace cloister::memory
