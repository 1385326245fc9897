// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <vector>

#include "base/os/clock.h"
#include "memory/guest_memory.h"
#include "memory/reclaimer.h"
#include "memory/swap_out.h"
#include "memory/testing_hart.h"
#include "memory/testing_host.h"

namespace cloister::memory {
namespace {

using namespace testing;

class FirstTouch : public ::testing::Test {
 protected:
  static constexpr u64 kBlock = 512;
  static constexpr u64 kPages = 4 * kBlock;

  FirstTouch() { memory->set_frame_source(pool); }
  ~FirstTouch() override {
    hart.leave();
    memory->check_invariants();
  }
  void touch(u64 page) { hart.store(word_at(page, 0), page + 1); }
  u64 frames() const { return memory->usage().frames.raw; }
  // By pages from 0 on: how many frames there are after each is touched.
  std::vector<u64> frames_after_each(u64 count) {
    std::vector<u64> found;
    for (u64 page = 0; page < count; ++page) {
      touch(page);
      found.push_back(frames());
    }
    return found;
  }

  Pool pool{Pages{10'000}};
  std::unique_ptr<SwapFile> swap;  // outlives the memory
  std::unique_ptr<GuestMemory> memory = GuestMemory::create(kBase, {kPages * kPageSize}).take();
  CachingHart hart{*memory};
};

TEST_F(FirstTouch, AWalkIsReadAheadInStepsThatDouble) {
  hart.enter();
  EXPECT_EQ(frames_after_each(9), (std::vector<u64>{1, 3, 3, 7, 7, 7, 7, 15, 15}));
}

TEST_F(FirstTouch, AStepHasABound) {
  hart.enter();
  frames_after_each(400);
  EXPECT_LE(frames(), 400u + 64);
}

// Its copy for the swap file is of what it held before it was given up.
TEST_F(FirstTouch, APageOfWhichACopyIsUnderWayIsNotFilledAlong) {
  swap = make_swap({16});
  memory->set_swap(*swap);
  SwapOut out(*memory);
  ASSERT_TRUE(memory->store<u64>(word_at(13, 0), 0x1234));
  const Gpn page = nth(13);
  out.submit({&page, 1});
  EXPECT_EQ(memory->discard({&page, 1}), Pages{1});
  hart.enter();
  for (const u64 before : {8u, 9u, 10u, 11u}) touch(before);  // the last of which fills three more
  hart.leave();
  (void)out.drain();
  EXPECT_EQ(memory->load<u64>(word_at(13, 0)), 0u);
  hart.enter();
}

TEST_F(FirstTouch, AWalkDownwardIsFollowedToo) {
  hart.enter();
  for (const u64 page : {200u, 199u, 198u, 197u}) touch(page);
  EXPECT_EQ(memory->state(nth(194)), PageState::kPrivate);
  EXPECT_EQ(frames(), 7u);
}

TEST_F(FirstTouch, AfterAWholeBlockTheNextComesAsAWhole) {
  hart.enter();
  frames_after_each(kBlock - 1);
  touch(kBlock - 1);
  const u64 before = frames();
  touch(kBlock + 300);
  EXPECT_EQ(frames(), before - (before - kBlock) + kBlock);
  EXPECT_EQ(memory->state(nth(kBlock)), PageState::kPrivate);
  EXPECT_EQ(memory->state(nth(2 * kBlock - 1)), PageState::kPrivate);
  // And is not taken for written.
  touch(2 * kBlock + 7);
  EXPECT_EQ(frames(), 2 * kBlock + 1);
}

TEST_F(FirstTouch, PartsOfABlockGoBackToTheHost) {
  hart.enter();
  for (u64 page = 0; page < 2 * kBlock; ++page) touch(page);
  hart.leave();
  ASSERT_EQ(memory->host(), Bytes{2 * kBlock * kPageSize});
  std::vector<Gpn> pages;
  for (u64 page = kBlock; page < 2 * kBlock; page += 2) pages.push_back(nth(page));
  EXPECT_EQ(memory->discard(pages), Pages{kBlock / 2});
  EXPECT_EQ(memory->host(), Bytes{(kBlock + kBlock / 2) * kPageSize});
  hart.enter();
  for (u64 page = kBlock; page < 2 * kBlock; ++page)
    EXPECT_EQ(hart.load(word_at(page, 0)), page % 2 == 0 ? 0 : page + 1);
}

// Parts of it were taken, and came back one by one.
TEST_F(FirstTouch, ABlockThatIsUsedAsAWholeBecomesOneHugePageAgain) {
  const auto cut = [&](u64 first) {
    std::vector<Gpn> pages;
    for (u64 page = first; page < first + kBlock; page += 2) pages.push_back(nth(page));
    ASSERT_EQ(memory->discard(pages), Pages{kBlock / 2});
  };
  hart.enter();
  for (u64 page = 0; page < 3 * kBlock; ++page) touch(page);
  hart.leave();
  for (const u64 block : {kBlock, 2 * kBlock}) cut(block);
  EXPECT_FALSE(memory->collapse(nth(kBlock))) << "with holes";
  hart.enter();
  for (u64 page = kBlock; page < 3 * kBlock; ++page) touch(page);
  if (!memory->collapse(nth(kBlock))) GTEST_SKIP() << "this host makes no huge pages";
  EXPECT_FALSE(memory->collapse(nth(kBlock))) << "it is one";
  hart.leave();
  Reclaimer(*memory, 1).age({kPages});
  EXPECT_FALSE(memory->collapse(nth(2 * kBlock))) << "the walk made it one";
  hart.enter();
  for (u64 page = 0; page < 3 * kBlock; ++page) ASSERT_EQ(hart.load(word_at(page, 0)), page + 1);
  hart.leave();
  cut(kBlock);
  EXPECT_EQ(memory->host(), Bytes{(2 * kBlock + kBlock / 2) * kPageSize});
  hart.enter();
}

TEST_F(FirstTouch, APageByItselfTakesNothingAlong) {
  hart.enter();
  for (u64 page = 0; page < kPages; page += 2) touch(page);
  EXPECT_EQ(frames(), kPages / 2);
}

TEST_F(FirstTouch, WhatWasFilledInVainIsNoReasonForMore) {
  hart.enter();
  touch(0);
  touch(1);
  touch(3);
  EXPECT_EQ(frames(), 4u);
}

TEST_F(FirstTouch, WhatIsFilledAheadReadsAsZerosAndIsNotInUse) {
  hart.enter();
  frames_after_each(4);
  ASSERT_EQ(memory->state(nth(6)), PageState::kPrivate);
  for (const u64 mark : {PageWord::kTouched, PageWord::kDirty, PageWord::kHeld, PageWord::kRecent,
                         PageWord::kTraced, PageWord::kWritten})
    EXPECT_FALSE(memory->has_marks(nth(6), mark)) << mark;
  EXPECT_EQ(hart.load(word_at(6, 7)), 0u);
  touch(6);
  EXPECT_TRUE(memory->has_marks(nth(6), PageWord::kDirty | PageWord::kTouched));
}

TEST_F(FirstTouch, ItEndsAtAPageThatIsNotPlainZeros) {
  hart.enter();
  EXPECT_EQ(hart.load(word_at(5, 0)), 0u);  // the hart may have it as the page of zeros
  frames_after_each(4);
  EXPECT_EQ(memory->state(nth(4)), PageState::kPrivate);
  EXPECT_EQ(memory->state(nth(5)), PageState::kZero);
  EXPECT_EQ(memory->state(nth(6)), PageState::kZero);
}

TEST_F(FirstTouch, TheEndOfMemoryIsAnEnd) {
  hart.enter();
  for (u64 page = kPages - 4; page < kPages; ++page) touch(page);
  EXPECT_EQ(frames(), 4u);
}

TEST_F(FirstTouch, NobodyIsAskedForWhatIsFilledAhead) {
  hart.enter();
  touch(0);
  while (pool.try_take({100}).raw > 0) continue;
  // What lies in the stock is all there is, and the page itself goes first.
  frames_after_each(256);
  EXPECT_EQ(frames(), 256u);
  EXPECT_EQ(memory->usage().unused, Pages{0});
  EXPECT_EQ(pool.waits(), 0u);
}

TEST_F(FirstTouch, WhileFramesAreOwedNothingIsFilledAhead) {
  hart.enter();
  (void)memory->begin_shrinking();
  EXPECT_EQ(frames_after_each(9), (std::vector<u64>{1, 2, 3, 4, 5, 6, 7, 8, 9}));
  (void)memory->end_shrinking();
}

TEST_F(FirstTouch, WhatWasFilledInVainIsTheFirstToGo) {
  hart.enter();
  frames_after_each(64);
  hart.leave();
  ASSERT_EQ(frames(), 127u);
  Reclaimer reclaimer(*memory, 1);
  const Pages wanted{63 + memory->usage().unused.raw};
  const auto report =
      reclaimer.reclaim({wanted, Ways().with(Way::kZero), os::monotonic_now() + Nanos{20'000'000'000}});
  EXPECT_EQ(report.frames[Way::kZero], Pages{63});
  hart.enter();
  for (u64 page = 0; page < 64; ++page) EXPECT_EQ(hart.load(word_at(page, 0)), page + 1);
}

}  // namespace
}  // namespace cloister::memory
