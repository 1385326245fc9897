// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>

#include "jit/testing/two_engines.h"

// Regions of several pages: that there are such, and that they do what the pages say that are mapped now.
namespace cloister::jit {
namespace {

using namespace hart::testing;
using testing::Side;

// A loop that calls a function of the next page, both in pages that are mapped elsewhere than they lie.
constexpr u64 kLoopAt = 0xc0000000, kFunctionAt = kLoopAt + kPageSize;
constexpr u64 kLoop = kData + 0x20000, kFunction = kLoop + 8 * kPageSize, kOther = kFunction + kPageSize;
constexpr u64 kNew = kOther + kPageSize;
constexpr i32 kDown = static_cast<i32>(kPageSize);
constexpr u32 kReturn = 0x00008067;
constexpr u64 kUsual = kAll | kUsed;
constexpr u64 kRounds = 3000;

struct Wide : testing::TwoEngines {
  explicit Wide(Bytes blocks = Bytes{16 * kMiB}) : TwoEngines(200, blocks) {
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
  // To another place in memory, with its code.
  void move(u64 va, u64 from, u64 to) {
    each([=](Side& side) {
      for (u64 i = 0; i < 64; i += 8) {
        const u64 bytes = side.guest.peek(from + i);
        side.guest.put(to + i, {static_cast<u32>(bytes), static_cast<u32>(bytes >> 32)});
      }
      side.tables.map(va, to, kUsual);
      side.guest.set(t0, va);
      side.guest.run({sfence(t0)});
    });
  }
  void expect_another() {
    const u64 wide = translator->statistics().wide;
    for (int i = 0; i < 4; ++i) EXPECT_EQ(sum_of(), kRounds);
    EXPECT_GT(translator->statistics().wide, wide);
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
  move(kFunctionAt, kFunction, kNew);
  expect_another();
  move(kLoopAt, kLoop, kNew + kPageSize);
  expect_another();
}

// The loop calls another function in each round, and in the end it is somebody's who has not come to it.
TEST_F(Wide, WhatHasMovedIsSeenWhereNotAllOfItIsThere) {
  constexpr u64 kSecondAt = kFunctionAt + kPageSize, kSecond = kNew + 2 * kPageSize;
  each([](Side& side) {
    side.guest.put(kLoop + 4, {branch(Op::beq, a1, zero, 28), branch(Op::beq, a2, zero, 8),
                               code(Op::jal, ra, 0, 0, 2 * kDown - 12), code(Op::jal, ra, 0, 0, kDown - 16),
                               addi(a4, a4, 1), addi(a1, a1, -1), branch(Op::bne, a1, zero, -20),
                               addi(ra, s2, 0), kReturn});
    side.guest.put(kSecond, {addi(a3, a3, 1), kReturn});
    side.tables.map(kSecondAt, kSecond, kUsual);
    side.guest.set(a2, 1);
  });
  warm_up();
  each([](Side& side) {
    side.guest.set(a2, 0);
    side.tables.map(kSecondAt, kSecond, 0);
    side.guest.set(t0, kSecondAt);
    side.guest.run({sfence(t0)});
  });
  move(kFunctionAt, kFunction, kNew);
  expect_another();
}

// A loop that calls two functions. From wherever it is entered it comes to others first, which one round in
// 64 calls.
TEST_F(Wide, TheWayRoundIsWorthMoreThanWhatIsNear) {
  constexpr i32 kOut = 52, kSeldom = 60;
  const auto call_of = [](i32 from, i32 page) { return code(Op::jal, ra, 0, 0, page * kDown - from); };
  const auto at = [](i32 page) { return kFunctionAt + static_cast<u64>(page - 1) * kPageSize; };
  std::vector<u32> loop{addi(s2, ra, 0), branch(Op::beq, a1, zero, kOut - 4), call_of(8, 1),
                        code(Op::andi, t1, a1, 0, 63)};
  std::vector<u32> seldom;
  for (i32 i = 0; i < 6; ++i) {
    if (i == 3) loop.push_back(call_of(28, 5));
    const i32 here = static_cast<i32>(4 * loop.size()), there = kSeldom + 8 * i;
    loop.push_back(branch(Op::beq, t1, static_cast<u32>(a2 + i), there - here));
    seldom.push_back(call_of(there, 2 + i % 3));
    seldom.push_back(code(Op::jal, 0, 0, 0, here - there));
  }
  loop.insert(loop.end(), {addi(a1, a1, -1), branch(Op::bne, a1, zero, 8 - 48), addi(ra, s2, 0), kReturn});
  loop.insert(loop.end(), seldom.begin(), seldom.end());
  each([&](Side& side) {
    side.guest.put(kLoop, loop);
    for (i32 page = 2; page <= 5; ++page) {
      side.guest.put(kNew + at(page) - kLoopAt, {addi(t2, t2, 1), kReturn});
      side.tables.map(at(page), kNew + at(page) - kLoopAt, kUsual);
      side.guest.set(s0, at(page));
      side.guest.set(a1, kRounds);
      side.guest.run({code(Op::jalr, ra, s0, 0), addi(a1, a1, -1), branch(Op::bne, a1, zero, -8)});
    }
    for (u32 i = 0; i < 6; ++i) side.guest.set(a2 + i, i);
  });
  warm_up();
  each([](Side& side) {
    side.guest.put(kFunction, {addi(t2, t2, 1), addi(a0, a0, 1), kReturn});
    side.guest.run({code(Op::fence_i)});
  });
  expect_another();  // for the loop's was made of that too
}

// The interpreter's blocks are all dropped when their room ends. What has been executed is known by its code.
struct WideAfterBlocksAreGone : Wide {
  WideAfterBlocksAreGone() : Wide(Bytes{256 * kKiB}) {}
};

// A loop that is entered behind its beginning, and goes round only later.
TEST_F(WideAfterBlocksAreGone, ALoopIsMadeWhole) {
  constexpr u64 kManyAt = kFunctionAt + 8 * kPageSize, kMany = kNew + 8 * kPageSize, kPages = 8;
  const auto count_down = [this](u64 at, u64 from, u64 goes_round) {
    each([=](Side& side) {
      side.guest.set(s0, at);
      side.guest.set(a1, from);
      side.guest.set(a3, goes_round);
      side.guest.run({code(Op::jalr, ra, s0, 0), branch(Op::bne, a1, zero, -4)});
      EXPECT_EQ(side.guest.reg(a1), 0u);
    });
  };
  each([](Side& side) {
    std::vector<u32> jumps(kPages * kPageSize / 4, code(Op::jal, 0, 0, 0, 4));
    jumps.back() = kReturn;
    side.guest.put(kMany, jumps);
    for (u64 i = 0; i < kPages; ++i) side.tables.map(kManyAt + i * kPageSize, kMany + i * kPageSize, kUsual);
    side.guest.put(kLoop,
                   {branch(Op::beq, a1, zero, 12), addi(a1, a1, -1), branch(Op::bne, a3, zero, -8), kReturn});
  });
  count_down(kLoopAt + 4, kRounds, 0);
  count_down(kLoopAt + 4, 10, 1);
  each([](Side& side) {
    side.guest.set(s0, kManyAt);
    side.guest.run({code(Op::jalr, ra, s0, 0)});
  });
  count_down(kLoopAt, kRounds, 1);
  const auto made = translator->footprints();
  EXPECT_TRUE(std::any_of(made.begin(), made.end(), [](const auto& each) {
    return each.begin == kLoopAt && each.end >= kLoopAt + 12;
  }));
}

// Entries are counted by samples; both come to be seen as what runs much, whatever their rhythm.
TEST_F(Wide, LoopsOfAnyLengthAreOneRegion) {
  for (const std::size_t length : {5u, 6u, 7u, 8u, 16u, 32u, 64u, 96u, 128u}) {
    each([length](Side& side) {
      std::vector<u32> words(length - 5, addi(a3, a3, 1));
      const i32 end = static_cast<i32>(4 * words.size());
      words.insert(words.begin(), {addi(s2, ra, 0), branch(Op::beq, a1, zero, end + 16)});
      for (const u32 word : {code(Op::jal, ra, 0, 0, kDown - end - 8), addi(a1, a1, -1),
                             branch(Op::bne, a1, zero, -end - 8), addi(ra, s2, 0), kReturn})
        words.push_back(word);
      side.guest.put(kLoop, words);
      side.guest.run({code(Op::fence_i)});
    });
    expect_another();
  }
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
