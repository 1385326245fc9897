// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "jit/testing/two_engines.h"

// Regions of several pages: that there are such, and that they do what the pages say that are mapped now.
namespace cloister::jit {
namespace {

using namespace hart::testing;
using testing::Side;

// A loop that calls a function of the next page, both in pages that are mapped elsewhere than they lie.
constexpr u64 kLoopAt = 0xc0000000, kFunctionAt = kLoopAt + kPageSize;
constexpr u64 kLoop = kData + 0x20000, kFunction = kLoop + 8 * kPageSize, kOther = kFunction + kPageSize;
constexpr i32 kDown = static_cast<i32>(kPageSize);
constexpr u32 kReturn = 0x00008067;
constexpr u64 kUsual = kAll | kUsed;
constexpr u64 kRounds = 3000;

struct Wide : testing::TwoEngines {
  Wide() : TwoEngines(200) {
    each([](Side& side) {
      side.guest.put(kLoop,
                     {addi(s2, ra, 0), branch(Op::beq, a1, zero, 16), code(Op::jal, ra, 0, 0, kDown - 8),
                      addi(a1, a1, -1), branch(Op::bne, a1, zero, -8), addi(ra, s2, 0), kReturn});
      side.guest.put(kFunction, {addi(a0, a0, 1), kReturn});
      side.guest.put(kOther, {addi(a0, a0, 2), kReturn});
      side.tables.map(kLoopAt, kLoop, kUsual);
      side.tables.map(kFunctionAt, kFunction, kUsual);
      side.tables.activate();
    });
  }

  // What a0 is behind so many rounds, on both engines.
  u64 sum_of(u64 rounds = kRounds) {
    each([rounds](Side& side) {
      side.guest.set(s0, kLoopAt);
      side.guest.set(a1, rounds);
      side.guest.run({addi(a0, 0, 0), code(Op::jalr, ra, s0, 0)});
    });
    EXPECT_EQ(translated.guest.reg(a0), interpreted.guest.reg(a0));
    EXPECT_EQ(translated.guest.hart().instructions(), interpreted.guest.hart().instructions());
    return interpreted.guest.reg(a0);
  }
  // Until there is a region of both pages.
  void warm_up() {
    for (int i = 0; i < 4; ++i) EXPECT_EQ(sum_of(), kRounds);
    EXPECT_GT(translator->statistics().wide, 0u);
  }
  void map_function(u64 to, u64 flags = kUsual) {
    each([=](Side& side) { side.tables.map(kFunctionAt, to, flags); });
  }
  void fence() {
    each([](Side& side) {
      side.guest.set(t0, kFunctionAt);
      side.guest.run({sfence(t0)});
    });
  }
};

TEST_F(Wide, LoopsWithCallsToAnotherPageAreOneRegion) { warm_up(); }

TEST_F(Wide, AnotherPageInThePlaceOfAFurtherOneIsSeen) {
  warm_up();
  map_function(kOther);
  fence();
  EXPECT_EQ(sum_of(), 2 * kRounds);
  map_function(kFunction);
  fence();
  EXPECT_EQ(sum_of(), kRounds);
}

TEST_F(Wide, AFurtherPageThatIsGoneTrapsWhereItIsCalled) {
  warm_up();
  map_function(kFunction, 0);
  fence();
  each([](Side& side) {
    side.guest.set(s0, kLoopAt);
    side.guest.set(a1, 1);
    const auto trap = side.guest.run({code(Op::jalr, ra, s0, 0)});
    ASSERT_TRUE(trap.has_value());
    EXPECT_TRUE(trap->is(isa::Cause::kFetchPage));
    EXPECT_EQ(trap->epc, kFunctionAt);
  });
  map_function(kFunction);
  EXPECT_EQ(sum_of(), kRounds);
}

// Nobody fetched from it since, so nobody set its A bit: to look for it must not do that.
TEST_F(Wide, ALookForAPageLeavesNoTrace) {
  warm_up();
  map_function(kFunction, kAll);
  fence();
  for (int i = 0; i < 100; ++i) EXPECT_EQ(sum_of(0), 0u);
  each([](Side& side) { EXPECT_EQ(side.tables.entry_of(kFunctionAt) & pte::kAccessed, 0u); });
  EXPECT_EQ(sum_of(1), 1u);
  each([](Side& side) { EXPECT_NE(side.tables.entry_of(kFunctionAt) & pte::kAccessed, 0u); });
}

TEST_F(Wide, AnotherAddressSpaceMayHaveOtherPagesThere) {
  warm_up();
  each([](Side& side) {
    TestTables others(side.guest, isa::kSv39, kTables + 0x100000);
    others.map(kLoopAt, kLoop, kUsual);
    others.map(kFunctionAt, kOther, kUsual);
    others.activate(1);
  });
  EXPECT_EQ(sum_of(), 2 * kRounds);
  each([](Side& side) { side.tables.activate(); });
  EXPECT_EQ(sum_of(), kRounds);
}

TEST_F(Wide, WhatIsWrittenToAFurtherPageIsExecutedAfterAFence) {
  warm_up();
  for (const i32 value : {3, 5}) {
    each([value](Side& side) {
      side.guest.put(kFunction, {addi(a0, a0, value), kReturn});
      side.guest.run({code(Op::fence_i)});
    });
    EXPECT_EQ(sum_of(), static_cast<u64>(value) * kRounds);
  }
}

// As a kernel moves them that makes room for large pages: first the function, then the loop.
TEST_F(Wide, PagesThatHaveMovedAreOneRegionAgain) {
  warm_up();
  constexpr u64 kNew = kOther + kPageSize;
  const auto move = [this](u64 va, u64 from, u64 to) {
    const u64 wide = translator->statistics().wide;
    each([&](Side& side) {
      for (u64 i = 0; i < 64; i += 8) {
        const u64 bytes = side.guest.peek(from + i);
        side.guest.put(to + i, {static_cast<u32>(bytes), static_cast<u32>(bytes >> 32)});
      }
      side.tables.map(va, to, kUsual);
      side.guest.set(t0, va);
      side.guest.run({sfence(t0)});
    });
    for (int i = 0; i < 4; ++i) EXPECT_EQ(sum_of(), kRounds);
    EXPECT_GT(translator->statistics().wide, wide);
  };
  move(kFunctionAt, kFunction, kNew);
  move(kLoopAt, kLoop, kNew + kPageSize);
}

// The page that they have in common with the loop is enough for it to run, and to be made better by itself.
TEST_F(Wide, WhereThePagesAreNotInPlaceTheRegionBelowIsMadeBetter) {
  warm_up();
  map_function(kOther);
  fence();
  const u64 remade = translator->statistics().remade;
  for (int i = 0; i < 100; ++i) EXPECT_EQ(sum_of(), 2 * kRounds);
  EXPECT_GT(translator->statistics().remade, remade);
}

// Translated code comes round to where it began, in another address space, and has the interpreter go on
// there, for what is left of its budget is too little for so long a function.
TEST_F(Wide, WhatIsInterpretedIsWhatIsMappedThen) {
  constexpr u64 kProgram = kData + 0x40000, kLength = 40;
  each([](Side& side) {
    TestTables others(side.guest, isa::kSv39, kTables + 0x100000);
    others.map(kFunctionAt, kOther, kUsual);
    for (const u64 page : {kFunction, kOther}) {
      std::vector<u32> words(kLength, addi(a0, a0, page == kFunction ? 1 : 2));
      words.push_back(kReturn);
      side.guest.put(page, words);
    }
    side.guest.put(kProgram, {addi(s2, ra, 0), csrr(t0, Csr::satp), code(Op::xor_, t0, t0, s3),
                              csrw(Csr::satp, t0), code(Op::jalr, ra, s0, 0), addi(a1, a1, -1),
                              branch(Op::bne, a1, zero, -20), addi(ra, s2, 0), kReturn});
    side.guest.set(s0, kFunctionAt);
    side.guest.set(s1, kProgram);
    side.guest.set(s3, side.tables.satp() ^ others.satp(1));
    side.guest.set(a1, kRounds);
    side.guest.prepare({addi(a0, 0, 0), code(Op::jalr, ra, s1, 0)});
    for (u64 turn = 1; !side.guest.ended(); ++turn) side.guest.hart().run(1 + turn % 97);
    EXPECT_EQ(side.guest.reg(a0), kRounds / 2 * 3 * kLength);
  });
}

}  // namespace
}  // namespace cloister::jit
