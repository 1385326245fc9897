// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <initializer_list>

#include "isa/cause.h"
#include "isa/csr.h"
#include "isa/properties.h"
#include "isa/test_machine.h"

namespace cloister::isa_tests {
namespace {

constexpr u32 number(isa::Csr csr) { return static_cast<u32>(csr); }
constexpr u64 kIllegal = isa::scause_of(isa::Cause::kIllegalInstruction);

const Insn kDivideByZero{.op = Op::fdiv_d, .rd = 1, .rs1 = 2, .rs2 = 3, .rm = 0};
const Insn kInexact{.op = Op::fcvt_d_lu, .rd = 4, .rs1 = reg::a1, .rm = 0};

// f2 = 1, f3 = 0, a1 = 2^64 - 1
Program operands() {
  return Program() << Insn{.op = Op::addi, .rd = reg::a0, .imm = 1}
                   << Insn{.op = Op::fcvt_d_w, .rd = 2, .rs1 = reg::a0}
                   << Insn{.op = Op::fmv_d_x, .rd = 3, .rs1 = reg::zero}
                   << Insn{.op = Op::addi, .rd = reg::a1, .imm = -1};
}

TEST(FloatControl, FlagsGatherUntilTheyAreCleared) {
  TestMachine machine;
  const Outcome both = machine.run(operands() << kDivideByZero << kInexact);
  EXPECT_EQ(both.fcsr, isa::fcsr::kDivideByZero | isa::fcsr::kInexact);
  machine.run(operands() << kDivideByZero << read_csr(reg::a2, number(isa::Csr::fflags))
                         << write_csr(number(isa::Csr::fflags), reg::zero) << kInexact
                         << read_csr(reg::a3, number(isa::Csr::fflags)));
  EXPECT_EQ(machine.reg(reg::a2), isa::fcsr::kDivideByZero);
  EXPECT_EQ(machine.reg(reg::a3), isa::fcsr::kInexact);
}

TEST(FloatControl, FcsrIsFlagsAndModeInOne) {
  TestMachine machine;
  machine.set_reg(reg::a0, 0xffff'ff75);
  machine.run(Program() << write_csr(number(isa::Csr::fcsr), reg::a0)
                        << read_csr(reg::a1, number(isa::Csr::frm))
                        << read_csr(reg::a2, number(isa::Csr::fflags))
                        << Insn{.op = Op::csrrwi, .rs1 = 1, .imm = number(isa::Csr::frm)}
                        << read_csr(reg::a3, number(isa::Csr::fcsr)));
  EXPECT_EQ(machine.reg(reg::a1), 3u);
  EXPECT_EQ(machine.reg(reg::a2), 0x15u);
  EXPECT_EQ(machine.reg(reg::a3), 0x35u);
}

TEST(FloatControl, AReservedDynamicModeIsIllegalWhereItIsUsed) {
  TestMachine machine;
  const Insn dynamic{.op = Op::fadd_d, .rd = 1, .rs1 = 2, .rs2 = 3, .rm = 7};
  for (const u64 frm : std::initializer_list<u64>{5, 6, 7}) {
    machine.set_fcsr(frm << isa::fcsr::kFrmShift);
    const Outcome outcome = machine.run(Program() << dynamic);
    EXPECT_TRUE(outcome.trapped);
    EXPECT_EQ(outcome.cause, kIllegal);
    EXPECT_EQ(outcome.tval, isa::encode(dynamic));
    EXPECT_FALSE(machine.run(Program() << Insn{.op = Op::fmin_d, .rd = 1, .rs1 = 2, .rs2 = 3}).trapped);
  }
}

TEST(FloatControl, EveryFloatInstructionIsIllegalWhileTheUnitIsOff) {
  TestMachine machine;
  machine.set_reg(reg::a1, TestMachine::kData);
  TestMachine off;
  off.set_reg(reg::a1, TestMachine::kData);
  // The machine's prologue writes fcsr and then switches the unit off.
  off.switch_float_off();
  for (const isa::Row& row : isa::rows()) {
    if (!isa::properties(row.op).is_float() || row.length != 4) continue;
    const Insn insn{.op = row.op, .rd = 1, .rs1 = reg::a1, .rs2 = row.pattern.rs2.present() ? u8{3} : u8{0}};
    EXPECT_FALSE(machine.run(Program() << insn).trapped) << row.name;
    const Outcome outcome = off.run(Program() << insn);
    EXPECT_TRUE(outcome.trapped) << row.name;
    EXPECT_EQ(outcome.cause, kIllegal) << row.name;
    EXPECT_EQ(outcome.tval, isa::encode(insn)) << row.name;
  }
  EXPECT_TRUE(off.run(Program() << read_csr(reg::a0, number(isa::Csr::fflags))).trapped);
}

TEST(FloatControl, WritingARegisterMakesTheStateDirty) {
  TestMachine machine;
  machine.run(Program() << read_csr(reg::a2, number(isa::Csr::sstatus))
                        << Insn{.op = Op::fmv_d_x, .rd = 1, .rs1 = reg::zero}
                        << read_csr(reg::a3, number(isa::Csr::sstatus)));
  EXPECT_EQ(machine.reg(reg::a2) & isa::sstatus::kFs, isa::sstatus::kFsInitial);
  EXPECT_EQ(machine.reg(reg::a3) & isa::sstatus::kFs, isa::sstatus::kFsDirty);
  EXPECT_EQ(machine.reg(reg::a3) & isa::sstatus::kSd, isa::sstatus::kSd);
}

TEST(FloatControl, RaisingAFlagMakesTheStateDirty) {
  TestMachine machine;
  machine.set_reg(reg::a0, ~u64{0});
  // Compares NaN with itself: nothing is written but the flag.
  machine.run(Program() << Insn{.op = Op::fmv_d_x, .rd = 1, .rs1 = reg::a0}
                        << Insn{.op = Op::lui, .rd = reg::a1, .imm = 0x2000}
                        << Insn{.op = Op::lui, .rd = reg::a2, .imm = 0x6000}
                        << Insn{.op = Op::csrrc, .rs1 = reg::a2, .imm = number(isa::Csr::sstatus)}
                        << Insn{.op = Op::csrrs, .rs1 = reg::a1, .imm = number(isa::Csr::sstatus)}
                        << Insn{.op = Op::flt_d, .rd = reg::a3, .rs1 = 1, .rs2 = 1}
                        << read_csr(reg::a3, number(isa::Csr::sstatus)));
  EXPECT_EQ(machine.reg(reg::a3) & isa::sstatus::kFs, isa::sstatus::kFsDirty);
}

}  // namespace
}  // namespace cloister::isa_tests
