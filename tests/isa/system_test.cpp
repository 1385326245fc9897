// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "isa/cases.h"
#include "isa/cause.h"
#include "isa/csr.h"
#include "isa/test_machine.h"

namespace cloister::isa_tests {

std::span<const Op> system_ops() {
  static constexpr Op kOps[] = {Op::ecall, Op::ebreak,  Op::sret,    Op::wfi,     Op::fence,
                                Op::pause, Op::fence_i, Op::wrs_nto, Op::wrs_sto, Op::cloister_call};
  return kOps;
}

namespace {

using isa::Cause;
using isa::Csr;
constexpr u32 number(Csr csr) { return static_cast<u32>(csr); }
Insn set(u8 rd, i32 value) { return {.op = Op::addi, .rd = rd, .imm = value}; }
Insn csr_set(Csr csr, u8 rs1) { return {.op = Op::csrrs, .rs1 = rs1, .imm = static_cast<i32>(csr)}; }
Insn csr_clear(Csr csr, u8 rs1) { return {.op = Op::csrrc, .rs1 = rs1, .imm = static_cast<i32>(csr)}; }

// Goes on in U-mode behind itself. Overwrites t0 and t1.
Program enter_user() {
  return Program() << Insn{.op = Op::addi, .rd = reg::t1, .imm = 0x100} << csr_clear(Csr::sstatus, reg::t1)
                   << Insn{.op = Op::auipc, .rd = reg::t0}
                   << Insn{.op = Op::addi, .rd = reg::t0, .rs1 = reg::t0, .imm = 16}
                   << write_csr(number(Csr::sepc), reg::t0) << Insn{.op = Op::sret};
}

// -- Traps -------------------------------------------------------------------------------------------

TEST(Traps, AUserCallGoesToTheSupervisor) {
  TestMachine machine;
  const Outcome outcome = machine.run(enter_user() << Insn{.op = Op::ecall});
  ASSERT_TRUE(outcome.trapped);
  EXPECT_EQ(outcome.cause, isa::scause_of(Cause::kUserCall));
  EXPECT_EQ(outcome.epc, TestMachine::address_after(enter_user()));
}

TEST(Traps, ABreakpointStopsAtItself) {
  TestMachine machine;
  const Program before = Program() << set(reg::a0, 1);
  Outcome outcome = machine.run(Program() << before << Insn{.op = Op::ebreak});
  ASSERT_TRUE(outcome.trapped);
  EXPECT_EQ(outcome.cause, isa::scause_of(Cause::kBreakpoint));
  EXPECT_EQ(outcome.epc, TestMachine::address_after(before));
  outcome = machine.run((Program() << before).half(0x9002));
  EXPECT_EQ(outcome.cause, isa::scause_of(Cause::kBreakpoint));
}

TEST(Traps, AnIllegalInstructionShowsItsBits) {
  TestMachine machine;
  for (const u32 bits : {0xffffffffu, 0x0000002bu, 0x00b5452fu, 0x30200073u}) {
    const Outcome outcome = machine.run(Program() << bits);
    ASSERT_TRUE(outcome.trapped);
    EXPECT_EQ(outcome.cause, isa::scause_of(Cause::kIllegalInstruction));
    EXPECT_EQ(outcome.tval, bits);
    EXPECT_EQ(outcome.epc, TestMachine::address_after({}));
  }
  EXPECT_EQ(machine.run(Program().half(0x8000)).tval, 0x8000u);
  EXPECT_EQ(machine.run(Program().half(0)).tval, 0u);
}

TEST(Traps, WhatStoodBeforeThemIsDoneAndWhatStandsBehindIsNot) {
  TestMachine machine;
  machine.run(Program() << set(reg::a0, 1) << set(reg::a1, 1) << Insn{.op = Op::ebreak} << set(reg::a0, 2));
  EXPECT_EQ(machine.reg(reg::a0), 1u);
  EXPECT_EQ(machine.reg(reg::a1), 1u);
}

TEST(Traps, AFetchFromNowhereFaultsThere) {
  TestMachine machine;
  machine.set_reg(reg::a0, 0x4000);
  const Outcome outcome = machine.run(Program() << Insn{.op = Op::jalr, .rs1 = reg::a0});
  ASSERT_TRUE(outcome.trapped);
  EXPECT_EQ(outcome.cause, isa::scause_of(Cause::kFetchAccess));
  EXPECT_EQ(outcome.epc, 0x4000u);
  EXPECT_EQ(outcome.tval, 0x4000u);
}

TEST(Hypercall, IsIllegalWhereNobodyAnswers) {
  TestMachine machine;
  for (const Program& mode : {Program(), enter_user()}) {
    const Outcome outcome = machine.run(Program() << mode << Insn{.op = Op::cloister_call});
    ASSERT_TRUE(outcome.trapped);
    EXPECT_EQ(outcome.cause, isa::scause_of(Cause::kIllegalInstruction));
    EXPECT_EQ(outcome.tval, isa::encode({.op = Op::cloister_call}));
  }
}

// -- Modes -------------------------------------------------------------------------------------------

TEST(UserMode, MayNotDoTheSupervisorsWork) {
  TestMachine machine;
  const Insn kForbidden[] = {{.op = Op::sret},
                             {.op = Op::wfi},
                             {.op = Op::sfence_vma},
                             {.op = Op::sinval_vma},
                             {.op = Op::sfence_w_inval},
                             {.op = Op::sfence_inval_ir},
                             read_csr(reg::a0, number(Csr::sstatus)),
                             write_csr(number(Csr::satp), reg::a0),
                             read_csr(reg::a0, number(Csr::cycle)),
                             {.op = Op::cbo_zero, .rs1 = reg::a1},
                             {.op = Op::cbo_clean, .rs1 = reg::a1},
                             {.op = Op::cbo_flush, .rs1 = reg::a1},
                             {.op = Op::cbo_inval, .rs1 = reg::a1}};
  machine.set_reg(reg::a1, TestMachine::kData);
  for (const Insn& insn : kForbidden) {
    const Outcome outcome = machine.run(enter_user() << insn << Insn{.op = Op::ecall});
    ASSERT_TRUE(outcome.trapped);
    EXPECT_EQ(outcome.cause, isa::scause_of(Cause::kIllegalInstruction)) << isa::disassemble(insn, 0);
    EXPECT_EQ(outcome.tval, isa::encode(insn)) << isa::disassemble(insn, 0);
  }
}

TEST(UserMode, MayWhatTheSupervisorAllows) {
  TestMachine machine;
  machine.set_reg(reg::a1, TestMachine::kData);
  machine.set_reg(reg::a2, isa::senvcfg::kCbze | isa::senvcfg::kCbcfe | isa::senvcfg::kCbie);
  machine.set_reg(reg::a3, isa::scounteren::kTime);
  machine.now = 77;
  const Outcome outcome = machine.run(
      Program() << write_csr(number(Csr::senvcfg), reg::a2) << write_csr(number(Csr::scounteren), reg::a3)
                << enter_user() << Insn{.op = Op::cbo_zero, .rs1 = reg::a1}
                << Insn{.op = Op::cbo_clean, .rs1 = reg::a1} << Insn{.op = Op::cbo_flush, .rs1 = reg::a1}
                << Insn{.op = Op::cbo_inval, .rs1 = reg::a1} << read_csr(reg::a0, number(Csr::time))
                << Insn{.op = Op::ecall});
  EXPECT_EQ(outcome.cause, isa::scause_of(Cause::kUserCall));
  EXPECT_EQ(machine.reg(reg::a0), 77u);
}

TEST(Sret, RestoresWhatTheTrapPutAway) {
  TestMachine machine;
  // Back to S-mode, interrupts on: SPP and SPIE are set before, SIE and SPIE after.
  machine.set_reg(reg::a0, isa::sstatus::kSpp | isa::sstatus::kSpie);
  const Outcome outcome =
      machine.run(Program() << csr_set(Csr::sstatus, reg::a0) << Insn{.op = Op::auipc, .rd = reg::t0}
                            << Insn{.op = Op::addi, .rd = reg::t0, .rs1 = reg::t0, .imm = 16}
                            << write_csr(number(Csr::sepc), reg::t0) << Insn{.op = Op::sret}
                            << read_csr(reg::a1, number(Csr::sstatus)));
  ASSERT_FALSE(outcome.trapped);
  using namespace isa::sstatus;
  EXPECT_EQ(machine.reg(reg::a1) & (kSie | kSpie | kSpp), kSie | kSpie);
}

// -- Waiting -----------------------------------------------------------------------------------------

TEST(Wfi, WaitsForAnInterrupt) {
  TestMachine machine;
  const Outcome outcome = machine.run(Program() << Insn{.op = Op::wfi} << set(reg::a0, 5));
  EXPECT_EQ(outcome.waits, 1u);
  EXPECT_EQ(machine.reg(reg::a0), 5u) << "goes on behind it when run again";
}

// sip.SSIP set and enabled in sie, but not in sstatus: WFI does not wait and nothing is delivered.
TEST(Wfi, DoesNotWaitWhenOneIsPending) {
  TestMachine machine;
  machine.set_reg(reg::a0, 2);
  const Outcome outcome = machine.run(Program() << csr_set(Csr::sip, reg::a0) << csr_set(Csr::sie, reg::a0)
                                                << Insn{.op = Op::wfi} << csr_clear(Csr::sip, reg::a0));
  EXPECT_EQ(outcome.waits, 0u);
  EXPECT_FALSE(outcome.trapped);
}

TEST(Interrupts, AreDeliveredWhenEnabled) {
  TestMachine machine;
  machine.set_reg(reg::a0, 2);
  const Program before = Program() << csr_set(Csr::sip, reg::a0) << csr_set(Csr::sie, reg::a0)
                                   << csr_set(Csr::sstatus, reg::a0);
  const Outcome outcome = machine.run(Program() << before << set(reg::a1, 9) << set(reg::a1, 10));
  ASSERT_TRUE(outcome.trapped);
  EXPECT_EQ(outcome.cause, isa::scause_of(isa::InterruptCause::kSoftware));
  EXPECT_EQ(outcome.epc, TestMachine::address_after(before));
  EXPECT_EQ(outcome.tval, 0u);
}

TEST(Interrupts, OfTheTimerFollowTheDeadline) {
  TestMachine machine;
  machine.now = 1000;
  machine.set_reg(reg::a0, 1000);
  machine.set_reg(reg::a1, 1001);
  machine.run(Program() << write_csr(number(Csr::stimecmp), reg::a0) << read_csr(reg::a2, number(Csr::sip))
                        << write_csr(number(Csr::stimecmp), reg::a1) << read_csr(reg::a3, number(Csr::sip)));
  EXPECT_EQ(machine.reg(reg::a2), 32u);
  EXPECT_EQ(machine.reg(reg::a3), 0u);
  EXPECT_EQ(machine.deadline, 1001u);
}

TEST(Hints, ChangeNothing) {
  TestMachine machine;
  for (const Insn& insn : {Insn{.op = Op::fence, .imm = 0xff}, Insn{.op = Op::fence, .imm = 0x833},
                           Insn{.op = Op::fence, .imm = 0x31}, Insn{.op = Op::fence}, Insn{.op = Op::pause},
                           Insn{.op = Op::wrs_nto}, Insn{.op = Op::wrs_sto}}) {
    for (u8 i = 1; i < 24; ++i) machine.set_reg(i, 1000u + i);
    const Outcome outcome = machine.run(Program() << insn << insn);
    EXPECT_FALSE(outcome.trapped) << isa::disassemble(insn, 0);
    for (u8 i = 1; i < 24; ++i) EXPECT_EQ(machine.reg(i), 1000u + i) << isa::disassemble(insn, 0);
  }
}

TEST(Waiting, IsAllowedToUserMode) {
  TestMachine machine;
  const Outcome outcome = machine.run(enter_user() << Insn{.op = Op::wrs_nto} << Insn{.op = Op::wrs_sto}
                                                   << Insn{.op = Op::pause} << Insn{.op = Op::ecall});
  EXPECT_EQ(outcome.cause, isa::scause_of(Cause::kUserCall));
}

// -- Code that changes -------------------------------------------------------------------------------

// Runs a place, writes another instruction to it, and runs it again.
TEST(FenceI, ShowsNewInstructions) {
  TestMachine machine;
  const u64 place = TestMachine::kData;
  machine.store(place, isa::encode(set(reg::a0, 1)), 4);
  machine.store(place + 4, isa::encode({.op = Op::jalr, .rs1 = reg::ra}), 4);
  machine.set_reg(reg::a1, place);
  machine.set_reg(reg::a2, isa::encode(set(reg::a0, 2)));
  const Insn call{.op = Op::jalr, .rd = reg::ra, .rs1 = reg::a1};
  machine.run(Program() << call << Insn{.op = Op::addi, .rd = reg::a3, .rs1 = reg::a0}
                        << Insn{.op = Op::sw, .rs1 = reg::a1, .rs2 = reg::a2} << Insn{.op = Op::fence_i}
                        << call);
  EXPECT_EQ(machine.reg(reg::a3), 1u);
  EXPECT_EQ(machine.reg(reg::a0), 2u);
}

// The new instruction lies right behind the fence, in the block that writes it.
TEST(FenceI, ShowsTheVeryNextInstruction) {
  TestMachine machine;
  const Program before = Program() << Insn{.op = Op::auipc, .rd = reg::a1}
                                   << Insn{.op = Op::sw, .rs1 = reg::a1, .rs2 = reg::a2, .imm = 12}
                                   << Insn{.op = Op::fence_i};
  machine.set_reg(reg::a2, isa::encode(set(reg::a0, 2)));
  machine.run(Program() << before << set(reg::a0, 1));
  EXPECT_EQ(machine.reg(reg::a0), 2u);
}

}  // namespace
}  // namespace cloister::isa_tests
