// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "isa/cases.h"
#include "isa/properties.h"
#include "isa/test_machine.h"

namespace cloister::isa_tests {
namespace {

Insn insn_of(const IntegerCase& row, u8 rd, u8 rs1, u8 rs2) {
  const isa::Properties& what = isa::properties(row.op);
  Insn insn{.op = row.op, .rd = rd};
  if (what.rs1 != isa::RegisterClass::kNone) insn.rs1 = rs1;
  if (what.rs2 != isa::RegisterClass::kNone) insn.rs2 = rs2;
  if (what.has_immediate) insn.imm = static_cast<i32>(row.b);
  return insn;
}

std::string describe(const IntegerCase& row) {
  return fmt::format("{} of {:#x} and {:#x}", isa::mnemonic(row.op), row.a, row.b);
}

TEST(IntegerInstructions, DoAsTheManualSays) {
  TestMachine machine;
  for (const IntegerCase& row : integer_cases()) {
    machine.set_reg(reg::a0, row.a);
    machine.set_reg(reg::a1, row.b);
    ASSERT_FALSE(machine.run(Program() << insn_of(row, reg::a2, reg::a0, reg::a1)).trapped) << describe(row);
    EXPECT_EQ(machine.reg(reg::a2), row.expected) << describe(row);
    EXPECT_EQ(machine.reg(reg::a0), row.a) << describe(row);
    EXPECT_EQ(machine.reg(reg::a1), row.b) << describe(row);
  }
}

TEST(IntegerInstructions, MayOverwriteTheirOwnSources) {
  TestMachine machine;
  for (const IntegerCase& row : integer_cases()) {
    machine.set_reg(reg::a0, row.a);
    machine.set_reg(reg::a1, row.b);
    machine.run(Program() << insn_of(row, reg::a0, reg::a0, reg::a1));
    EXPECT_EQ(machine.reg(reg::a0), row.expected) << describe(row);
    if (isa::properties(row.op).rs2 == isa::RegisterClass::kNone) continue;
    machine.set_reg(reg::a0, row.a);
    machine.run(Program() << insn_of(row, reg::a1, reg::a0, reg::a1));
    EXPECT_EQ(machine.reg(reg::a1), row.expected) << describe(row);
  }
}

TEST(IntegerInstructions, WriteNothingToX0) {
  TestMachine machine;
  for (const IntegerCase& row : integer_cases()) {
    machine.set_reg(reg::a0, row.a);
    machine.set_reg(reg::a1, row.b);
    machine.run(Program() << insn_of(row, reg::zero, reg::a0, reg::a1)
                          << Insn{.op = Op::addi, .rd = reg::a2, .rs1 = reg::zero});
    EXPECT_EQ(machine.reg(reg::a2), 0u) << describe(row);
  }
}

TEST(IntegerInstructions, ReadX0AsZero) {
  TestMachine machine;
  machine.set_reg(reg::a1, 5);
  machine.run(Program() << Insn{.op = Op::sub, .rd = reg::a0, .rs1 = reg::zero, .rs2 = reg::a1}
                        << Insn{.op = Op::divu, .rd = reg::a2, .rs1 = reg::a1, .rs2 = reg::zero});
  EXPECT_EQ(machine.reg(reg::a0), ~u64{4});
  EXPECT_EQ(machine.reg(reg::a2), ~u64{0});
}

}  // namespace
}  // namespace cloister::isa_tests
