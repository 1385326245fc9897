// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "hart/state.h"
#include "hart/testing_guest.h"

namespace cloister::hart::testing {
namespace {

using isa::Cause;
namespace sstatus = isa::sstatus;

// What `csr` reads after all ones, or `value`, were written.
u64 after_write(TestGuest& guest, Csr csr, u64 value = ~u64{0}) {
  guest.set(t0, value);
  EXPECT_FALSE(guest.run({csrw(csr, t0), csrr(a0, csr)}));
  return guest.reg(a0);
}

TEST(Csrs, KeepTheBitsThatTheyHave) {
  TestGuest guest;
  EXPECT_EQ(after_write(guest, Csr::sscratch), ~u64{0});
  EXPECT_EQ(after_write(guest, Csr::sepc), ~u64{1});
  EXPECT_EQ(after_write(guest, Csr::scause), ~u64{0});
  EXPECT_EQ(after_write(guest, Csr::stval), ~u64{0});
  EXPECT_EQ(after_write(guest, Csr::scounteren), 0xffffffffu);
  EXPECT_EQ(after_write(guest, Csr::senvcfg), 0xf1u);
  EXPECT_EQ(after_write(guest, Csr::sie), 0x222u);
  EXPECT_EQ(after_write(guest, Csr::stimecmp), ~u64{0});
}

// A guest with floating point on.
struct FloatGuest : TestGuest {
  FloatGuest() { turn(sstatus::kFsInitial); }
  void turn(u64 fs) {
    set(t0, sstatus::kFs);
    set(t1, fs);
    run({csrc(Csr::sstatus, t0), csrs(Csr::sstatus, t1)});
  }
  u64 status() {
    run({csrr(s2, Csr::sstatus)});
    return reg(s2);
  }
};

TEST(Csrs, SstatusHasNoVectorNoOtherEndianAndA64BitUser) {
  TestGuest guest;
  const u64 all = after_write(guest, Csr::sstatus, ~u64{0} & ~sstatus::kSie);
  EXPECT_EQ(all, sstatus::kSd | sstatus::kUxl64 | sstatus::kMxr | sstatus::kSum | sstatus::kFs |
                     sstatus::kSpp | sstatus::kSpie);
  EXPECT_EQ(after_write(guest, Csr::sstatus, 0), sstatus::kUxl64);
}

TEST(Csrs, StvecTakesTheTwoModesOnly) {
  TestGuest guest;
  EXPECT_EQ(after_write(guest, Csr::stvec, kHandler | 1), kHandler | 1);
  EXPECT_EQ(after_write(guest, Csr::stvec, kData | 2), kHandler | 1);
  EXPECT_EQ(after_write(guest, Csr::stvec, kHandler), kHandler);
}

TEST(Csrs, SatpHasSixteenAsidBits) {
  TestGuest guest;
  const u64 value = u64{0xffff} << isa::satp::kAsidShift | kBase >> 12;
  EXPECT_EQ(after_write(guest, Csr::satp, value), value);
}

TEST(Csrs, OfSipTheGuestWritesTheSoftwareBit) {
  TestGuest guest;
  EXPECT_EQ(after_write(guest, Csr::sip), 2u);
  guest.hart().set_interrupt(Interrupt::kExternal, true);
  EXPECT_EQ(after_write(guest, Csr::sip, 0), 0x200u);
}

TEST(Csrs, UnknownOnesAreIllegal) {
  TestGuest guest;
  for (const u32 number :
       {0x000u, 0x102u, 0x180u + 1, 0x200u, 0x300u, 0x305u, 0x7a0u, 0xb00u, 0xc20u, 0xf14u}) {
    const u32 word = csrr(a0, static_cast<Csr>(number));
    const auto trap = guest.run({word});
    ASSERT_TRUE(trap) << number;
    EXPECT_TRUE(trap->is(Cause::kIllegalInstruction));
    EXPECT_EQ(trap->tval, word);
  }
}

TEST(Csrs, ReadOnlyOnesMayBeReadBySetAndClearOfNothing) {
  TestGuest guest;
  EXPECT_FALSE(guest.run({csrr(a0, Csr::time), csrc(Csr::time, 0)}));
  EXPECT_TRUE(guest.run({csrw(Csr::time, 0)})->is(Cause::kIllegalInstruction));
  EXPECT_TRUE(guest.run({csrs(Csr::cycle, a0)})->is(Cause::kIllegalInstruction));
}

TEST(Csrs, CountersAreOpenToUserModeAsScounterenSays) {
  TestGuest guest;
  u64 place = kData;
  for (const Csr csr : {Csr::cycle, Csr::time, Csr::instret, Csr{isa::kFirstHpmCounter}}) {
    const u64 bit = u64{1} << (static_cast<u32>(csr) & 31);
    guest.put(place, {csrr(a0, csr), code(Op::ecall)});
    after_write(guest, Csr::scounteren, ~bit);
    EXPECT_TRUE(guest.run_user(place)->is(Cause::kIllegalInstruction));
    after_write(guest, Csr::scounteren, bit);
    EXPECT_TRUE(guest.run_user(place)->is(Cause::kUserCall));
    place += 64;
  }
  EXPECT_FALSE(guest.run({csrr(a0, Csr{isa::kLastHpmCounter})}));
  EXPECT_EQ(guest.reg(a0), 0u);
}

TEST(Csrs, AWriteWithoutReadAndAReadWithoutWrite) {
  TestGuest guest;
  guest.set(t0, 0xf0);
  guest.run({csrw(Csr::sscratch, t0), code(Op::csrrsi, a0, 0x0f, 0, static_cast<i32>(Csr::sscratch)),
             code(Op::csrrci, a1, 0x03, 0, static_cast<i32>(Csr::sscratch)),
             code(Op::csrrwi, a2, 0x15, 0, static_cast<i32>(Csr::sscratch)), csrr(a3, Csr::sscratch)});
  EXPECT_EQ(guest.reg(a0), 0xf0u);
  EXPECT_EQ(guest.reg(a1), 0xffu);
  EXPECT_EQ(guest.reg(a2), 0xfcu);
  EXPECT_EQ(guest.reg(a3), 0x15u);
}

// -- Floating point's state
// ----------------------------------------------------------------------------------

TEST(FloatState, OffMakesItsInstructionsAndRegistersIllegal) {
  FloatGuest guest;
  guest.turn(0);
  guest.set(a0, kData);
  for (const u32 word : {code(Op::fadd_d, 1, 2, 3), load(Op::fld, 1, a0), store(Op::fsd, 1, a0),
                         code(Op::fmv_x_d, a0, 1, 0), csrr(a0, Csr::fcsr), csrw(Csr::frm, 0)}) {
    const auto trap = guest.run({addi(a1, 0, 1), word});
    ASSERT_TRUE(trap);
    EXPECT_TRUE(trap->is(Cause::kIllegalInstruction));
    EXPECT_EQ(trap->tval, word);
    EXPECT_EQ(guest.reg(a1), 1u);
  }
}

TEST(FloatState, FcsrIsFlagsAndRoundingMode) {
  FloatGuest guest;
  EXPECT_EQ(after_write(guest, Csr::fcsr), 0xffu);
  EXPECT_EQ(after_write(guest, Csr::frm, 3), 3u);
  EXPECT_EQ(after_write(guest, Csr::fflags, 0x15), 0x15u);
  EXPECT_FALSE(guest.run({csrr(a0, Csr::fcsr)}));
  EXPECT_EQ(guest.reg(a0), 0x75u);
}

TEST(FloatState, AWriteMakesItDirtyAndAStoreDoesNot) {
  FloatGuest guest;
  guest.set(a0, kData);
  guest.turn(sstatus::kFsClean);
  guest.run({store(Op::fsd, 1, a0)});
  EXPECT_EQ(guest.status() & sstatus::kFs, sstatus::kFsClean);
  guest.run({store(Op::fsd, 1, a0), load(Op::fld, 1, a0)});
  EXPECT_EQ(guest.status() & sstatus::kFs, sstatus::kFsDirty);
  EXPECT_NE(guest.status() & sstatus::kSd, 0u);
  guest.turn(sstatus::kFsClean);
  EXPECT_EQ(guest.status() & sstatus::kSd, 0u);
  guest.run({csrw(Csr::fflags, 0)});
  EXPECT_EQ(guest.status() & sstatus::kFs, sstatus::kFsDirty);
}

TEST(FloatState, ARoundingModeThatIsNoneMakesDynamicInstructionsIllegal) {
  FloatGuest guest;
  isa::Insn dynamic;
  dynamic.op = Op::fadd_d;
  dynamic.rm = 7;
  isa::Insn fixed = dynamic;
  fixed.rm = 0;
  for (const u64 frm : {5u, 6u, 7u}) {
    guest.set(t0, frm);
    const auto trap = guest.run({csrw(Csr::frm, t0), isa::encode(fixed), isa::encode(dynamic)});
    ASSERT_TRUE(trap);
    EXPECT_EQ(trap->tval, isa::encode(dynamic));
  }
  guest.set(t0, 4);
  EXPECT_FALSE(guest.run({csrw(Csr::frm, t0), isa::encode(dynamic)}));
}

TEST(FloatState, FlagsGatherUntilTheyAreWrittenAlsoOverExitsFromRun) {
  FloatGuest guest;
  guest.hart().set_freg(1, 0x3ff0000000000000);  // 1.0
  guest.hart().set_freg(2, 0);
  guest.run({csrw(Csr::fcsr, 0), code(Op::fdiv_d, 3, 1, 2)});
  EXPECT_EQ(guest.hart().freg(3), 0x7ff0000000000000u);
  guest.hart().set_freg(2, 0x4008000000000000);  // 3.0
  guest.run({code(Op::fdiv_d, 3, 1, 2)});
  guest.run({csrr(a0, Csr::fflags)});
  EXPECT_EQ(guest.reg(a0), isa::fcsr::kDivideByZero | isa::fcsr::kInexact);
  guest.run({csrw(Csr::fflags, 0), csrr(a0, Csr::fcsr)});
  EXPECT_EQ(guest.reg(a0), 0u);
}

TEST(FloatState, SinglesAreBoxed) {
  FloatGuest guest;
  guest.poke(kData, 0x3f800000);
  guest.set(a0, kData);
  guest.run({load(Op::flw, 1, a0)});
  EXPECT_EQ(guest.hart().freg(1), 0xffffffff3f800000u);
}

// -- Cache blocks
// --------------------------------------------------------------------------------------------

TEST(CacheBlocks, ZeroClearsTheWholeBlockAndNoMore) {
  TestGuest guest;
  for (const u64 at : {kData - 8, kData, kData + kZeroBlock - 8, kData + kZeroBlock}) guest.poke(at, 1);
  guest.set(a0, kData + 24);
  EXPECT_FALSE(guest.run({code(Op::cbo_zero, 0, a0, 0)}));
  EXPECT_EQ(guest.peek(kData - 8), 1u);
  EXPECT_EQ(guest.peek(kData), 0u);
  EXPECT_EQ(guest.peek(kData + kZeroBlock - 8), 0u);
  EXPECT_EQ(guest.peek(kData + kZeroBlock), 1u);
}

TEST(CacheBlocks, ZeroingWhatIsZeroTakesNoFrame) {
  TestGuest guest;
  guest.set(a0, kData + 24);
  guest.run({});
  const Pages before = guest.memory().usage().frames;
  EXPECT_FALSE(guest.run({code(Op::cbo_zero, 0, a0, 0)}));
  EXPECT_EQ(guest.memory().usage().frames, before);
  EXPECT_FALSE(guest.run({store(Op::sd, a0, a0), code(Op::cbo_zero, 0, a0, 0), load(Op::ld, a1, a0)}));
  EXPECT_EQ(guest.reg(a1), 0u);
}

TEST(CacheBlocks, UserModeNeedsSenvcfg) {
  TestGuest guest;
  u64 place = kData;
  const std::pair<Op, u64> rows[] = {{Op::cbo_zero, isa::senvcfg::kCbze},
                                     {Op::cbo_clean, isa::senvcfg::kCbcfe},
                                     {Op::cbo_flush, isa::senvcfg::kCbcfe},
                                     {Op::cbo_inval, u64{1} << 4}};
  for (const auto& [op, bits] : rows) {
    guest.put(place, {code(op, 0, a0, 0), code(Op::ecall)});
    guest.set(a0, kData + 2 * kPageSize);
    guest.set(a1, bits);
    guest.run({csrw(Csr::senvcfg, 0)});
    EXPECT_TRUE(guest.run_user(place)->is(Cause::kIllegalInstruction));
    guest.run({csrw(Csr::senvcfg, a1)});
    EXPECT_TRUE(guest.run_user(place)->is(Cause::kUserCall));
    place += 64;
  }
}

TEST(CacheBlocks, FaultsAreThoseOfAStore) {
  TestGuest guest;
  guest.set(a0, 0x1008);
  const auto zero = guest.run({code(Op::cbo_zero, 0, a0, 0)});
  EXPECT_TRUE(zero->is(Cause::kStoreAccess));
  EXPECT_EQ(zero->tval, 0x1008u);
}

}  // namespace
}  // namespace cloister::hart::testing
