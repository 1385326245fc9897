// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "base/random.h"
#include "hart/testing_guest.h"

// Decoded blocks: code that changes, straddles, loops, and fills the cache.
namespace cloister::hart::testing {
namespace {

using isa::Cause;

std::vector<u32> returning(i32 value) {
  std::vector<u32> words{addi(a2, 0, value)};
  for (const u32 word : TestGuest::end_of_code()) words.push_back(word);
  return words;
}

TEST(Code, ThatItWroteItselfIsExecutedAfterFenceI) {
  TestGuest guest;
  guest.put(kData, returning(1));
  EXPECT_FALSE(guest.run_at(kData));
  EXPECT_EQ(guest.reg(a2), 1u);
  guest.set(a0, kData);
  for (i32 value = 2; value < 50; ++value) {
    guest.set(a1, addi(a2, 0, value));
    guest.set(a3, kData);
    EXPECT_FALSE(guest.run({store(Op::sw, a1, a0), code(Op::fence_i), code(Op::jalr, 0, a3, 0)}));
    EXPECT_EQ(guest.reg(a2), static_cast<u64>(value));
  }
}

TEST(Code, ChangedByTheMachineIsSeenAfterAPostedFence) {
  TestGuest guest;
  guest.put(kData, returning(1));
  guest.run_at(kData);
  guest.put(kData, returning(2));
  guest.hart().post_fence_i();
  guest.run_at(kData);
  EXPECT_EQ(guest.reg(a2), 2u);
}

TEST(Code, ThatWasGivenUpIsDecodedAnew) {
  TestGuest guest;
  guest.put(kData, returning(1));
  guest.run_at(kData);
  const Gpn page = gpn_of(GuestPhys{kData});
  EXPECT_EQ(guest.memory().discard({&page, 1}).raw, 1u);
  const auto trap = guest.run_at(kData);
  ASSERT_TRUE(trap);
  EXPECT_TRUE(trap->is(Cause::kIllegalInstruction));
}

// Linked blocks of one page: a change of the second is seen through the link too.
TEST(Code, BehindALinkIsComparedAfterAFence) {
  TestGuest guest;
  auto lay = [&guest](i32 value) {
    guest.put(kData, {addi(a3, 0, 0), code(Op::jal, 0, 0, 0, 0x100)});
    guest.put(kData + 0x104, returning(value));
  };
  for (i32 value = 1; value < 5; ++value) {
    lay(value);
    guest.run({code(Op::fence_i)});
    for (int i = 0; i < 3; ++i) guest.run_at(kData);
    EXPECT_EQ(guest.reg(a2), static_cast<u64>(value));
  }
}

TEST(Code, AnInstructionMayStraddleTwoPages) {
  TestGuest guest;
  const u32 straddling = addi(a2, 0, 77);
  const u64 place = kData + kPageSize - 2;
  guest.put(place, {straddling});
  std::vector<u32> end = TestGuest::end_of_code();
  guest.put(place + 4, end);
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(guest.run_at(place));
  EXPECT_EQ(guest.reg(a2), 77u);
}

TEST(Code, AStraddlingInstructionFollowsBothMappings) {
  TestGuest guest;
  TestTables tables(guest, isa::kSv39);
  constexpr u64 kVa = 0x400000;
  const u32 first = addi(a2, 0, 1);
  const u32 second = addi(a2, 0, 2);
  guest.put(kData + kPageSize - 2, {first});
  guest.put(kData + kPageSize + 2, TestGuest::end_of_code());
  guest.put(kData + 3 * kPageSize - 2, {second});
  guest.put(kData + 3 * kPageSize + 2, TestGuest::end_of_code());
  tables.map(kVa, kData, kAll | kUsed);
  tables.activate();
  const u64 place = kVa + kPageSize - 2;
  const auto trap = guest.run_at(place);
  ASSERT_TRUE(trap);
  EXPECT_TRUE(trap->is(Cause::kFetchPage));
  EXPECT_EQ(trap->epc, place);
  EXPECT_EQ(trap->tval, kVa + kPageSize);
  for (const u64 half : {1u, 3u, 1u}) {  // the upper half decides on the immediate
    tables.map(kVa + kPageSize, kData + half * kPageSize, kAll | kUsed);
    guest.run({sfence()});
    EXPECT_FALSE(guest.run_at(place));
    EXPECT_EQ(guest.reg(a2), half == 1 ? 1u : 2u);
  }
}

TEST(Code, ABlockEndsAtThePageAndGoesOnBehindIt) {
  TestGuest guest;
  const u64 place = kData + kPageSize - 8;
  guest.put(place, {addi(a2, 0, 1), addi(a2, a2, 1), addi(a2, a2, 1)});
  guest.put(place + 12, TestGuest::end_of_code());
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(guest.run_at(place));
  EXPECT_EQ(guest.reg(a2), 3u);
}

TEST(Code, LongStraightCodeIsCutWithoutLoss) {
  TestGuest guest;
  std::vector<u32> words(500, addi(a2, a2, 1));
  for (const u32 word : TestGuest::end_of_code()) words.push_back(word);
  guest.put(kData, words);
  guest.set(a2, 0);
  EXPECT_FALSE(guest.run_at(kData));
  EXPECT_EQ(guest.reg(a2), 500u);
}

TEST(Code, ACodeCacheThatIsFullStartsAgain) {
  TestGuest guest({1024, Bytes{1}});  // one chunk
  for (u64 i = 0; i < 3000; ++i) guest.put(kData + 256 * i, returning(static_cast<i32>(i % 1000)));
  for (int round = 0; round < 2; ++round) {
    for (u64 i = 0; i < 3000; ++i) {
      EXPECT_FALSE(guest.run_at(kData + 256 * i));
      ASSERT_EQ(guest.reg(a2), i % 1000);
    }
  }
}

TEST(Code, ALongRunNeedsNoHostStack) {
  TestGuest guest;
  // A loop of two blocks, by link, and one by the jump cache.
  guest.set(a0, 300'000);
  guest.set(a1, kData);
  guest.put(kData, {addi(a0, a0, -1), branch(Op::beq, a0, 0, 8), code(Op::jalr, 0, a1, 0)});
  guest.put(kData + 12, TestGuest::end_of_code());
  EXPECT_FALSE(guest.run_at(kData));
  EXPECT_EQ(guest.reg(a0), 0u);
}

// -- Misaligned data
// -----------------------------------------------------------------------------------------

TEST(Misaligned, LoadsAndStoresWork) {
  TestGuest guest;
  Random random(1);
  for (int i = 0; i < 64; ++i) {
    const u64 at = kData + kPageSize - 32 + random.below(40);
    const u64 value = random.next();
    guest.set(a0, at);
    guest.set(a1, value);
    EXPECT_FALSE(guest.run({store(Op::sd, a1, a0), load(Op::ld, a2, a0), load(Op::lw, a3, a0, 2),
                            load(Op::lhu, a4, a0, 5), load(Op::lb, a5, a0, 7)}));
    EXPECT_EQ(guest.reg(a2), value);
    EXPECT_EQ(guest.reg(a3), static_cast<u64>(i64{static_cast<i32>(value >> 16)}));
    EXPECT_EQ(guest.reg(a4), value >> 40 & 0xffff);
    EXPECT_EQ(guest.reg(a5), static_cast<u64>(i64{static_cast<i8>(value >> 56)}));
  }
}

TEST(Misaligned, AtomicsTrap) {
  TestGuest guest;
  guest.set(a0, kData + 2);
  EXPECT_TRUE(guest.run({code(Op::amoadd_w, a1, a0, a2)})->is(Cause::kStoreMisaligned));
  EXPECT_TRUE(guest.run({code(Op::lr_w, a1, a0, 0)})->is(Cause::kLoadMisaligned));
  const auto trap = guest.run({code(Op::sc_w, a1, a0, a2)});
  EXPECT_TRUE(trap->is(Cause::kStoreMisaligned));
  EXPECT_EQ(trap->tval, kData + 2);
}

// -- LR and SC on one hart
// -----------------------------------------------------------------------------------

class Reservation : public ::testing::Test {
 protected:
  Reservation() {
    guest_.set(a0, kData);
    guest_.set(a1, kData + 64);
    guest_.set(a2, 5);
  }
  // What SC left in a3.
  u64 result(std::initializer_list<u32> words) {
    guest_.set(a3, 99);
    EXPECT_FALSE(guest_.run(words));
    return guest_.reg(a3);
  }
  static constexpr u64 kFailed = 1;
  TestGuest guest_;
};

TEST_F(Reservation, ScStoresAfterLr) {
  EXPECT_EQ(result({code(Op::lr_d, a4, a0, 0), code(Op::sc_d, a3, a0, a2)}), 0u);
  EXPECT_EQ(guest_.peek(kData), 5u);
}

TEST_F(Reservation, ScFailsWithoutLrAndTheSecondTime) {
  EXPECT_EQ(result({code(Op::sc_d, a3, a0, a2)}), kFailed);
  EXPECT_EQ(result({code(Op::lr_d, a4, a0, 0), code(Op::sc_d, a3, a0, a2), code(Op::sc_d, a3, a0, a2)}),
            kFailed);
}

TEST_F(Reservation, ScFailsAtAnotherAddressOrOfAnotherSize) {
  EXPECT_EQ(result({code(Op::lr_d, a4, a0, 0), code(Op::sc_d, a3, a1, a2)}), kFailed);
  EXPECT_EQ(result({code(Op::lr_d, a4, a0, 0), code(Op::sc_w, a3, a0, a2)}), kFailed);
  EXPECT_EQ(guest_.peek(kData + 64), 0u);
}

TEST_F(Reservation, ScFailsWhenTheValueChanged) {
  EXPECT_EQ(result({code(Op::lr_d, a4, a0, 0), store(Op::sb, a2, a0), code(Op::sc_d, a3, a0, a2)}), kFailed);
}

TEST_F(Reservation, ATrapEndsIt) {
  guest_.run({code(Op::lr_d, a4, a0, 0), code(Op::ebreak)});
  EXPECT_EQ(result({code(Op::sc_d, a3, a0, a2)}), kFailed);
}

}  // namespace
}  // namespace cloister::hart::testing
