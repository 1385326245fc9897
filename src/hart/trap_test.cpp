// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "hart/testing_guest.h"

namespace cloister::hart::testing {
namespace {

using isa::Cause;
using isa::InterruptCause;
namespace sstatus = isa::sstatus;

constexpr u64 bit(InterruptCause which) { return u64{1} << static_cast<u32>(which); }
constexpr u64 kEveryInterrupt =
    bit(InterruptCause::kSoftware) | bit(InterruptCause::kTimer) | bit(InterruptCause::kExternal);

TEST(Traps, AnIllegalInstructionShowsItsBits) {
  TestGuest guest;
  const u32 unknown = 0xffffffff;
  const auto trap = guest.run({addi(a0, 0, 1), unknown, addi(a0, 0, 2)});
  ASSERT_TRUE(trap);
  EXPECT_TRUE(trap->is(Cause::kIllegalInstruction));
  EXPECT_EQ(trap->tval, unknown);
  EXPECT_EQ(guest.reg(a0), 1u);
}

TEST(Traps, ACompressedIllegalInstructionShowsSixteenBits) {
  TestGuest guest;
  const auto trap = guest.run({0xffff0000});  // all zeros are illegal
  EXPECT_TRUE(trap->is(Cause::kIllegalInstruction));
  EXPECT_EQ(trap->tval, 0u);
}

TEST(Traps, TheHypercallIsIllegalWhereNobodyAnswers) {
  TestGuest guest;
  EXPECT_TRUE(guest.run({code(Op::cloister_call)})->is(Cause::kIllegalInstruction));
}

TEST(Traps, BreakpointsAndCallsHaveTheirCauses) {
  TestGuest guest;
  const u64 place = guest.next_code();
  const auto trap = guest.run({code(Op::ebreak)});
  EXPECT_TRUE(trap->is(Cause::kBreakpoint));
  EXPECT_EQ(trap->epc, place);
  guest.put(kData, {code(Op::ecall)});
  EXPECT_TRUE(guest.run_user(kData)->is(Cause::kUserCall));
}

TEST(Traps, UserModeMayNotUseTheSupervisorsInstructions) {
  TestGuest guest;
  u64 place = kData;
  for (const u32 word :
       {code(Op::sret), code(Op::wfi), sfence(), code(Op::sinval_vma), code(Op::sfence_w_inval),
        code(Op::sfence_inval_ir), csrr(a0, Csr::sstatus), csrr(a0, Csr::satp), csrr(a0, Csr::stimecmp)}) {
    guest.put(place, {word});
    const auto trap = guest.run_user(place);
    ASSERT_TRUE(trap);
    EXPECT_TRUE(trap->is(Cause::kIllegalInstruction)) << word;
    EXPECT_EQ(trap->tval, word);
    place += 64;
  }
}

TEST(Traps, StatusKeepsWhereTheTrapCameFrom) {
  TestGuest guest;
  guest.put(kData, {code(Op::ecall)});
  guest.set(a0, sstatus::kSie);
  guest.run({csrs(Csr::sstatus, a0)});
  guest.run_user(kData);
  guest.run({csrr(a0, Csr::sstatus)});
  EXPECT_EQ(guest.reg(a0) & (sstatus::kSpp | sstatus::kSie), 0u);
  guest.run({0xffffffff});
  guest.run({csrr(a0, Csr::sstatus)});
  EXPECT_EQ(guest.reg(a0) & sstatus::kSpp, sstatus::kSpp);
}

TEST(Traps, AReturnRestoresTheInterruptEnableAndTheMode) {
  TestGuest guest;
  guest.set(t0, guest.next_code() + 16);
  guest.set(t1, sstatus::kSpp | sstatus::kSpie);
  guest.run(
      {csrw(Csr::sepc, t0), csrs(Csr::sstatus, t1), code(Op::sret), 0xffffffff, csrr(a0, Csr::sstatus)});
  EXPECT_EQ(guest.reg(a0) & (sstatus::kSie | sstatus::kSpie | sstatus::kSpp), sstatus::kSie | sstatus::kSpie);
}

TEST(Traps, InterruptsComeInTheOrderOfTheirPriority) {
  TestGuest guest;
  guest.hart().set_interrupt(Interrupt::kSoftware, true);
  guest.hart().set_interrupt(Interrupt::kExternal, true);
  guest.set(t0, kEveryInterrupt);
  guest.set(t1, sstatus::kSie);
  guest.set(t2, 0);
  guest.run({csrw(Csr::stimecmp, t2), csrw(Csr::sie, t0)});
  const auto external = guest.run({csrs(Csr::sstatus, t1)});
  ASSERT_TRUE(external);
  EXPECT_TRUE(external->is(InterruptCause::kExternal));
  guest.hart().set_interrupt(Interrupt::kExternal, false);
  EXPECT_TRUE(guest.run({csrs(Csr::sstatus, t1)})->is(InterruptCause::kSoftware));
  guest.set(t0, bit(InterruptCause::kSoftware));
  guest.run({csrc(Csr::sip, t0)});
  EXPECT_TRUE(guest.run({csrs(Csr::sstatus, t1)})->is(InterruptCause::kTimer));
}

TEST(Traps, AMaskedInterruptWaits) {
  TestGuest guest;
  guest.hart().set_interrupt(Interrupt::kExternal, true);
  guest.set(t0, sstatus::kSie);
  EXPECT_FALSE(guest.run({csrs(Csr::sstatus, t0), csrc(Csr::sstatus, t0)}));
  guest.set(t1, bit(InterruptCause::kExternal));
  EXPECT_FALSE(guest.run({csrw(Csr::sie, t1)}));
  EXPECT_TRUE(guest.run({csrs(Csr::sstatus, t0)}));
}

TEST(Traps, UserModeIsInterruptedWhateverSieSays) {
  TestGuest guest;
  guest.put(kData, {code(Op::jal)});  // a loop
  guest.set(t2, bit(InterruptCause::kExternal));
  guest.run({csrw(Csr::sie, t2)});
  guest.hart().set_interrupt(Interrupt::kExternal, true);
  const auto trap = guest.run_user(kData);
  ASSERT_TRUE(trap);
  EXPECT_TRUE(trap->is(InterruptCause::kExternal));
  EXPECT_EQ(trap->epc, kData);
}

TEST(Traps, AVectoredInterruptGoesToItsEntryAndExceptionsToTheBase) {
  TestGuest guest;
  guest.put(kData, {code(Op::ebreak)});
  constexpr u64 kTable = kData + 0x400;
  guest.put(kTable + 4 * 9, {addi(a3, 0, 9), code(Op::jalr, 0, a4, 0)});
  guest.put(kTable, {addi(a3, 0, 1), code(Op::jalr, 0, a4, 0)});
  guest.set(a4, kHandler);
  guest.set(t0, kTable | isa::stvec::kVectored);
  guest.set(t1, bit(InterruptCause::kExternal));
  guest.set(t2, sstatus::kSie);
  guest.hart().set_interrupt(Interrupt::kExternal, true);
  guest.run({csrw(Csr::stvec, t0), csrw(Csr::sie, t1), csrs(Csr::sstatus, t2)});
  EXPECT_EQ(guest.reg(a3), 9u);
  guest.run({code(Op::ebreak)});
  EXPECT_EQ(guest.reg(a3), 1u);
}

TEST(Traps, AHartWhoseHandlerFaultsStillComesBackFromRun) {
  TestGuest guest;
  guest.set(t0, 0x1000);  // no memory there
  guest.prepare({csrw(Csr::stvec, t0), code(Op::ebreak)});
  EXPECT_EQ(guest.hart().run(1000), Exit::kBudget);
  EXPECT_EQ(guest.hart().run(1000), Exit::kBudget);
}

// -- Waiting
// -------------------------------------------------------------------------------------------------

TEST(Waiting, WfiEndsRunBehindIt) {
  TestGuest guest;
  guest.prepare({addi(a0, 0, 1), code(Op::wfi), addi(a0, 0, 2)});
  EXPECT_EQ(guest.hart().run(1000), Exit::kWait);
  EXPECT_EQ(guest.reg(a0), 1u);
  EXPECT_EQ(guest.hart().wait_bound().raw, ~u64{0});
  EXPECT_FALSE(guest.finish());
  EXPECT_EQ(guest.reg(a0), 2u);
}

TEST(Waiting, WfiGoesOnWhenAnEnabledInterruptIsPendingThoughMasked) {
  TestGuest guest;
  guest.set(t0, bit(InterruptCause::kExternal));
  guest.hart().set_interrupt(Interrupt::kExternal, true);
  guest.prepare({csrw(Csr::sie, t0), code(Op::wfi), addi(a0, 0, 2)});
  EXPECT_EQ(guest.hart().run(1000), Exit::kRequest);
  EXPECT_EQ(guest.reg(a0), 2u);
  EXPECT_TRUE(guest.hart().interrupt_pending());
}

TEST(Waiting, TheTimerInterruptFollowsTimeAndStimecmp) {
  TestGuest guest;
  guest.now = 100;
  guest.set(t0, 150);
  guest.set(t1, bit(InterruptCause::kTimer));
  guest.run({csrw(Csr::stimecmp, t0), csrw(Csr::sie, t1), csrr(a0, Csr::sip), csrr(a1, Csr::time)});
  EXPECT_EQ(guest.reg(a0), 0u);
  EXPECT_EQ(guest.reg(a1), 100u);
  EXPECT_EQ(guest.last_deadline, 150u);
  EXPECT_EQ(guest.hart().timer_deadline(), 150u);
  EXPECT_FALSE(guest.hart().interrupt_pending());
  guest.now = 150;
  EXPECT_TRUE(guest.hart().interrupt_pending());
  guest.run({csrr(a0, Csr::sip)});
  EXPECT_EQ(guest.reg(a0), bit(InterruptCause::kTimer));
  guest.hart().set_timer(200);
  guest.run({csrr(a0, Csr::sip)});
  EXPECT_EQ(guest.reg(a0), 0u);
}

TEST(Waiting, WaitsForAStoreAreShort) {
  TestGuest guest;
  guest.prepare({code(Op::wrs_nto), addi(a0, 0, 2)});
  EXPECT_EQ(guest.hart().run(1000), Exit::kWait);
  EXPECT_LT(guest.hart().wait_bound().raw, 1'000'000u);
  EXPECT_FALSE(guest.finish());
}

TEST(Waiting, AHartThatSpinsGivesWayNowAndThen) {
  TestGuest guest;
  guest.prepare({code(Op::pause), code(Op::jal, 0, 0, 0, -4)});
  EXPECT_EQ(guest.hart().run(1'000'000), Exit::kWait);
  EXPECT_EQ(guest.hart().wait_bound().raw, 0u);
  EXPECT_LT(guest.hart().instructions(), 10'000u);
}

TEST(Waiting, ARequestToExitOutsideRunIsKept) {
  TestGuest guest;
  guest.prepare({addi(a0, 0, 2)});
  guest.hart().request_exit();
  EXPECT_EQ(guest.hart().run(1000), Exit::kRequest);
  EXPECT_NE(guest.reg(a0), 2u);
  EXPECT_FALSE(guest.finish());
}

// -- Counting
// ------------------------------------------------------------------------------------------------

TEST(Counting, InstretIsExactAlsoAfterATrapInTheMiddleOfABlock) {
  TestGuest guest;
  const u64 before = guest.hart().instructions();
  // jalr to the code; addi, addi; the trap; six of the handler.
  guest.run({addi(a0, 0, 1), addi(a0, 0, 1), 0xffffffff, addi(a0, 0, 1)});
  EXPECT_EQ(guest.hart().instructions() - before, 1u + 2 + 5);
  guest.run({csrr(a0, Csr::instret), addi(a2, 0, 0), addi(a2, 0, 0), csrr(a1, Csr::instret)});
  EXPECT_EQ(guest.reg(a1) - guest.reg(a0), 3u);
}

TEST(Counting, ALoadThatFaultsIsNotCounted) {
  TestGuest guest;
  guest.set(a0, 0x1000);
  const u64 before = guest.hart().instructions();
  EXPECT_TRUE(guest.run({addi(a1, 0, 1), load(Op::lw, a2, a0), addi(a1, 0, 2)})->is(Cause::kLoadAccess));
  EXPECT_EQ(guest.hart().instructions() - before, 1u + 1 + 5);
}

TEST(Counting, RunStopsAtTheFirstBlockBoundaryBehindTheBudget) {
  TestGuest guest;
  guest.prepare({addi(a0, a0, 1), addi(a0, a0, 1), code(Op::jal, 0, 0, 0, -8)});
  guest.hart().run(1);  // the monitor's jump
  const u64 before = guest.hart().instructions();
  EXPECT_EQ(guest.hart().run(7), Exit::kBudget);
  EXPECT_EQ(guest.hart().instructions() - before, 9u);
  EXPECT_EQ(guest.hart().run(0), Exit::kBudget);
  EXPECT_EQ(guest.hart().instructions() - before, 9u);
}

TEST(Counting, TheMachineMaySetTheCounters) {
  TestGuest guest;
  guest.hart().set_counter(Counter::kInstret, 1000);
  guest.run({csrr(a0, Csr::instret)});
  EXPECT_EQ(guest.reg(a0), 1001u);
  guest.run({csrr(a0, Csr::cycle)});
  EXPECT_LT(guest.reg(a0), 1000u);
}

}  // namespace
}  // namespace cloister::hart::testing
