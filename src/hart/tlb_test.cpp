// SPDX-License-Identifier: Apache-2.0
#include "hart/tlb.h"

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <set>
#include <utility>
#include <vector>

namespace cloister::hart {
namespace {

constexpr u8 kMode = 8;
constexpr Space kFirst{kMode, 1};
constexpr Space kSecond{kMode, 2};
constexpr u64 kKernelPage = 0xffffffff'80000000;
constexpr u64 kUserPage = 0x10000;

struct TlbTest : ::testing::Test {
  TlbTest() : state(std::make_unique<State>()), tlb(*state, 256), memory(4 * kPageSize) {}

  // As a walk does for a store.
  void fill(u64 va, bool global = false, u8 page_shift = kPageShift) {
    TlbEntry& entry = tlb.claim(va, {Gpn{va >> kPageShift}, page_shift, global}, memory.data());
    entry.read_tag = entry.write_tag = entry.exec_tag = tlb_tag(*state, va);
  }
  bool knows(u64 va, Use use = Use::kLoad) { return tlb.recall(va, use); }

  std::unique_ptr<State> state;
  Tlb tlb;
  std::vector<std::byte> memory;
};

TEST_F(TlbTest, TwoPagesThatWantOnePlaceAreBothKept) {
  tlb.select(kFirst, Sight::kUser);
  const u64 other = kUserPage + 256 * kPageSize;
  fill(kUserPage);
  fill(other);
  EXPECT_TRUE(knows(kUserPage));
  EXPECT_TRUE(knows(other));
  tlb.flush_page(kUserPage);
  EXPECT_FALSE(knows(kUserPage));
  EXPECT_TRUE(knows(other));
}

TEST_F(TlbTest, GlobalPagesOutliveASwitchAndAFenceOfOneSpace) {
  tlb.select(kFirst, Sight::kSupervisor);
  fill(kKernelPage, true);
  const u64 jumps = state->jump_tag;
  tlb.select(kSecond, Sight::kSupervisor);
  EXPECT_TRUE(knows(kKernelPage));
  EXPECT_EQ(state->jump_tag, jumps);
  tlb.flush_space(kSecond.asid);
  EXPECT_TRUE(knows(kKernelPage));
  tlb.flush_all();
  EXPECT_FALSE(knows(kKernelPage));
  EXPECT_NE(state->jump_tag, jumps);
}

TEST_F(TlbTest, APageOfTheSupervisorThatIsNotGlobalStaysInItsSpace) {
  tlb.select(kFirst, Sight::kSupervisor);
  fill(kKernelPage);
  const u64 jumps = state->jump_tag;
  tlb.select(kSecond, Sight::kSupervisor);
  EXPECT_FALSE(knows(kKernelPage));
  EXPECT_NE(state->jump_tag, jumps);
}

TEST_F(TlbTest, AFenceOfOneSpaceLeavesTheOthers) {
  tlb.select(kSecond, Sight::kUser);
  fill(kUserPage);
  tlb.select(kFirst, Sight::kUser);
  fill(kUserPage);
  tlb.flush_space(kFirst.asid);
  EXPECT_FALSE(knows(kUserPage));
  tlb.select(kSecond, Sight::kUser);
  EXPECT_TRUE(knows(kUserPage));
}

TEST_F(TlbTest, AFenceForAPageEndsTheJumpsOfThoseThatJumpedThereOnly) {
  const auto jump_tag = [this](Space space, Sight sight) {
    tlb.select(space, sight);
    return state->jump_tag;
  };
  // The kernel's page has the same place in its half of the addresses as the program's.
  const u64 kernel = jump_tag(kFirst, Sight::kSupervisor);
  tlb.note_jump(kKernelPage + kUserPage);
  const u64 first = jump_tag(kFirst, Sight::kUser);
  tlb.note_jump(kUserPage);
  const u64 second = jump_tag(kSecond, Sight::kUser);
  tlb.note_jump(kUserPage + kPageSize);

  tlb.flush_page(kUserPage);
  EXPECT_NE(jump_tag(kFirst, Sight::kUser), first);
  EXPECT_EQ(jump_tag(kSecond, Sight::kUser), second);
  EXPECT_EQ(jump_tag(kFirst, Sight::kSupervisor), kernel);
}

TEST_F(TlbTest, ACallComesBackUnderItsTagAndInItsEpochOnly) {
  constexpr u64 kBack = kUserPage + 8;
  tlb.select(kFirst, Sight::kUser);
  tlb.note_jump(kUserPage);
  const auto call = [this] { *state->returns = kBack; };
  call();
  tlb.select(kFirst, Sight::kSupervisor);
  EXPECT_NE(*state->returns, kBack);
  tlb.select(kFirst, Sight::kUser);
  EXPECT_EQ(*state->returns, kBack);
  tlb.flush_page(kUserPage + kPageSize);
  EXPECT_EQ(*state->returns, kBack);
  tlb.flush_page(kUserPage);
  EXPECT_NE(*state->returns, kBack);
  call();
  tlb.select(kSecond, Sight::kUser);
  EXPECT_NE(*state->returns, kBack);
  call();
  ++state->epoch;
  tlb.end_epoch();
  EXPECT_NE(*state->returns, kBack);
}

// He goes on there without a jump, and may call.
TEST_F(TlbTest, WhoRunsInAPageWhenJumpsEndIsKnownToBeThere) {
  tlb.select(kFirst, Sight::kUser);
  tlb.note_jump(kUserPage);
  tlb.flush_jumps();
  const u64 jumps = state->jump_tag;
  tlb.flush_page(kUserPage);
  EXPECT_NE(state->jump_tag, jumps);
}

TEST_F(TlbTest, JumpsOfASpaceAreForgottenWhenOthersTakeTheirPlace) {
  tlb.select(kFirst, Sight::kUser);
  const u64 first = state->jump_tag;
  tlb.note_jump(kUserPage);
  std::set<u64> tags = {first};
  for (u16 asid = 2; asid < 40; ++asid) {
    tlb.select({kMode, asid}, Sight::kUser);
    EXPECT_TRUE(tags.insert(state->jump_tag).second);
  }
  tlb.flush_page(kUserPage);  // which may no longer know that the first jumped there
  tlb.select(kFirst, Sight::kUser);
  EXPECT_NE(state->jump_tag, first);
}

TEST_F(TlbTest, TheSupervisorWithSumBorrowsWhatTheOthersKnow) {
  tlb.select(kFirst, Sight::kUser);
  fill(kUserPage);
  tlb.select(kFirst, Sight::kSupervisor);
  fill(kKernelPage, true);
  EXPECT_FALSE(knows(kUserPage));
  tlb.select(kFirst, Sight::kSupervisorSum);
  EXPECT_TRUE(knows(kUserPage, Use::kStore));
  EXPECT_TRUE(knows(kKernelPage));
  EXPECT_FALSE(knows(kUserPage, Use::kFetch));
}

TEST_F(TlbTest, AFenceForOneAddressDropsAllOfItsLargePage) {
  constexpr u8 kTwoMiB = 21;
  tlb.select(kFirst, Sight::kUser);
  fill(kUserPage);
  fill(u64{4} << kTwoMiB, false, kTwoMiB);
  fill((u64{4} << kTwoMiB) + 7 * kPageSize, false, kTwoMiB);
  tlb.flush_page((u64{4} << kTwoMiB) + 3 * kPageSize);
  EXPECT_FALSE(knows(u64{4} << kTwoMiB));
  EXPECT_FALSE(knows((u64{4} << kTwoMiB) + 7 * kPageSize));
  EXPECT_TRUE(knows(kUserPage));
}

// Banks with more places than the page has fragments, and with fewer; and those of a page that lost theirs.
TEST_F(TlbTest, AFenceFindsAllFragmentsWhereverTheyAre) {
  constexpr u8 kTwoMiB = 21;
  constexpr u64 kPage = u64{5} << kTwoMiB, kFragments = 512;
  for (int growths = 0; growths < 4; ++growths) {
    tlb.select(kFirst, Sight::kUser);
    fill(kPage + kFragments * kPageSize, false, kTwoMiB);
    for (u64 i = 0; i < kFragments; ++i) fill(kPage + i * kPageSize, false, kTwoMiB);
    ASSERT_TRUE(knows(kPage));
    tlb.flush_page(kPage + 100 * kPageSize);
    for (u64 i = 0; i < kFragments; ++i) ASSERT_FALSE(knows(kPage + i * kPageSize)) << i;
    EXPECT_TRUE(knows(kPage + kFragments * kPageSize)) << "the next page";
    for (u64 i = 0; i < 8 * (u64{256} << growths); ++i) tlb.note_walk();
  }
}

TEST_F(TlbTest, ForgottenPagesAreGoneFromAllPlaces) {
  tlb.select(kFirst, Sight::kUser);
  fill(kUserPage);
  fill(kUserPage + 256 * kPageSize);  // puts the first among the victims
  tlb.forget(memory::PageSet({Gpn{kUserPage >> kPageShift}}));
  EXPECT_FALSE(knows(kUserPage));
  EXPECT_TRUE(knows(kUserPage + 256 * kPageSize));
}

// Translated code keeps what it looked up as long as State::renewals stays the same.
TEST_F(TlbTest, WhateverMayEndATranslationIsCounted) {
  tlb.select(kFirst, Sight::kSupervisorSum);
  fill(kUserPage);
  const std::pair<const char*, std::function<void()>> ends[] = {
      {"another space", [&] { tlb.select(kSecond, Sight::kSupervisorSum); }},
      {"another sight", [&] { tlb.select(kSecond, Sight::kSupervisor); }},
      {"a fence for a page", [&] { tlb.flush_page(kUserPage); }},
      {"for a space", [&] { tlb.flush_space(1); }},
      {"for all", [&] { tlb.flush_all(); }},
      {"a page of data that moves", [&] { tlb.forget(memory::PageSet({Gpn{kUserPage >> kPageShift}})); }}};
  for (const auto& [what, end] : ends) {
    const u64 before = state->renewals;
    end();
    EXPECT_NE(state->renewals, before) << what;
  }
}

TEST_F(TlbTest, JumpsEndWhenAPageOfCodeIsForgottenAndNotForOthers) {
  const memory::PageSet code({Gpn{8}}), data({Gpn{7}, Gpn{9}, Gpn{1000}});
  tlb.select(kFirst, Sight::kUser);
  tlb.note_code(Gpn{8});
  const u64 jumps = state->jump_tag;
  EXPECT_FALSE(tlb.forget(data));
  EXPECT_EQ(state->jump_tag, jumps);
  EXPECT_TRUE(tlb.forget(code));
  EXPECT_NE(state->jump_tag, jumps);
  EXPECT_FALSE(tlb.forget(code)) << "until it is fetched from again";
  tlb.note_code(Gpn{8});
  EXPECT_TRUE(tlb.forget(memory::PageSet({Gpn{6}, Gpn{7}, Gpn{8}})));
  EXPECT_TRUE(tlb.forget(memory::PageSet::all()));
}

TEST_F(TlbTest, AFenceForALargePageEndsTheJumpsThatLeadThereOnly) {
  constexpr u8 kTwoMiB = 21;
  constexpr u64 kLarge = u64{4} << kTwoMiB;
  tlb.select(kFirst, Sight::kUser);
  tlb.note_jump(kLarge - kPageSize);
  tlb.note_jump(kLarge + (u64{1} << kTwoMiB));
  fill(kLarge, false, kTwoMiB);
  const u64 jumps = state->jump_tag;
  tlb.flush_page(kLarge + 3 * kPageSize);
  EXPECT_EQ(state->jump_tag, jumps);
  fill(kLarge, false, kTwoMiB);
  tlb.note_jump(kLarge + 511 * kPageSize);
  tlb.flush_page(kLarge + 3 * kPageSize);
  EXPECT_NE(state->jump_tag, jumps);
}

TEST_F(TlbTest, ABankGrowsForAProgramThatWalksMuch) {
  tlb.select(kFirst, Sight::kUser);
  const u64 mask = state->tlb_mask;
  for (u64 i = 0; i < 8 * 256; ++i) tlb.note_walk();
  EXPECT_GT(state->tlb_mask, mask);
  EXPECT_FALSE(knows(kUserPage));
  fill(kUserPage);
  EXPECT_TRUE(knows(kUserPage));
}

TEST_F(TlbTest, NumbersRunOutWithoutHarm) {
  tlb.select(kFirst, Sight::kUser);
  for (u32 round = 0; round < 2'000; ++round) {
    fill(kUserPage);
    ASSERT_TRUE(knows(kUserPage));
    tlb.flush_space(kFirst.asid);
    ASSERT_FALSE(knows(kUserPage));
  }
}

}  // namespace
}  // namespace cloister::hart
