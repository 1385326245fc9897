// SPDX-License-Identifier: Apache-2.0
#include "memory/page_word.h"

#include <gtest/gtest.h>

namespace cloister::memory {
namespace {

constexpr u64 kMarks[] = {PageWord::kTouched, PageWord::kDirty, PageWord::kHeld, PageWord::kChanging};

TEST(PageWord, AWordOfZerosIsAnUntouchedZeroPage) {
  constexpr PageWord word;
  EXPECT_EQ(word.state(), PageState::kZero);
  EXPECT_EQ(word.pins(), 0u);
  EXPECT_EQ(word.slot(), 0u);
  for (const u64 mark : kMarks) EXPECT_FALSE(word.has(mark));
}

TEST(PageWord, ItsFieldsDoNotOverlap) {
  u64 seen = PageWord::kStateMask;
  for (const u64 field : {PageWord::kTouched, PageWord::kDirty, PageWord::kHeld, PageWord::kChanging,
                          PageWord::kPinMask, ~u64{0} << PageWord::kSlotShift}) {
    EXPECT_EQ(seen & field, 0u);
    seen |= field;
  }
  EXPECT_GE(PageWord::kStateMask + 1, u64{kPageStates});
}

TEST(PageWord, AMoveKeepsMarksAndPins) {
  constexpr PageWord word = PageWord{}.moved_to(PageState::kPrivate).with(PageWord::kDirty).pinned().pinned();
  constexpr PageWord back = word.moved_to(PageState::kZero);
  EXPECT_EQ(word.state(), PageState::kPrivate);
  EXPECT_EQ(word.pins(), 2u);
  EXPECT_TRUE(back.has(PageWord::kDirty));
  EXPECT_EQ(back.pins(), 2u);
}

TEST(PageWordDeathTest, NoPageMovesToAStateWithoutARow) {
  EXPECT_FALSE(is_live(PageState::kSwapped));
  EXPECT_DEATH((void)PageWord{}.moved_to(PageState::kSwapped), "is_live");
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
