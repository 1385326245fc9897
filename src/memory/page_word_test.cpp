// SPDX-License-Identifier: Apache-2.0
#include "memory/page_word.h"

#include <gtest/gtest.h>

#include <vector>

namespace cloister::memory {
namespace {

constexpr u64 kMarks[] = {PageWord::kTouched, PageWord::kDirty,  PageWord::kHeld,    PageWord::kChanging,
                          PageWord::kRecent,  PageWord::kTraced, PageWord::kWritten, PageWord::kLeaving};

TEST(PageWord, AWordOfZerosIsAnUntouchedZeroPage) {
  constexpr PageWord word;
  EXPECT_EQ(word.state(), PageState::kZero);
  EXPECT_EQ(word.pins(), 0u);
  EXPECT_EQ(word.slot(), 0u);
  for (const u64 mark : kMarks) EXPECT_FALSE(word.has(mark));
}

TEST(PageWord, ItsFieldsDoNotOverlap) {
  u64 seen = PageWord::kStateMask;
  std::vector<u64> fields(std::begin(kMarks), std::end(kMarks));
  fields.push_back(PageWord::kPinMask);
  fields.push_back(~u64{0} << PageWord::kSlotShift);
  for (const u64 field : fields) {
    EXPECT_EQ(seen & field, 0u);
    seen |= field;
  }
  EXPECT_GE(PageWord::kStateMask, u64{kPageStates}) << "one number is kept for what could not be had";
}

TEST(PageWord, AMoveKeepsMarksAndPins) {
  constexpr PageWord word = PageWord{}.moved_to(PageState::kPrivate).with(PageWord::kDirty).pinned().pinned();
  constexpr PageWord back = word.moved_to(PageState::kZero);
  EXPECT_EQ(word.state(), PageState::kPrivate);
  EXPECT_EQ(word.pins(), 2u);
  EXPECT_TRUE(back.has(PageWord::kDirty));
  EXPECT_EQ(back.pins(), 2u);
}

TEST(PageWord, AMoveTakesANewSlotOrNone) {
  constexpr PageWord packed = PageWord{}.moved_to(PageState::kCompressed, 77).with(PageWord::kDirty);
  EXPECT_EQ(packed.slot(), 77u);
  EXPECT_EQ(packed.moved_to(PageState::kSwapped, ~u32{0}).slot(), ~u32{0});
  EXPECT_EQ(packed.moved_to(PageState::kPrivate),
            PageWord{}.moved_to(PageState::kPrivate).with(PageWord::kDirty));
}

TEST(PageWord, WhatCouldNotBeHadIsInNoState) {
  EXPECT_TRUE(PageWord::failed().is_failed());
  for (int i = 0; i < kPageStates; ++i)
    EXPECT_FALSE(PageWord{}.moved_to(static_cast<PageState>(i)).is_failed());
}

TEST(PageWordDeathTest, NoPageMovesToAStateWithoutARow) {
  EXPECT_FALSE(is_live(static_cast<PageState>(kPageStates)));
  EXPECT_DEATH((void)PageWord{}.moved_to(static_cast<PageState>(kPageStates)), "is_live");
}

TEST(PageWord, AWriteAlwaysEndsInAFrameOfTheGuestsOwn) {
  for (int i = 0; is_live(static_cast<PageState>(i)); ++i) {
    const PageState written = rule_of(static_cast<PageState>(i)).after_write;
    EXPECT_EQ(rule_of(written).source, Source::kOwnFrame);
    EXPECT_EQ(rule_of(written).after_write, written) << "a second write changes nothing";
  }
}

}  // namespace
}  // namespace cloister::memory
