// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <initializer_list>

#include "isa/cases.h"
#include "isa/csr.h"
#include "isa/properties.h"
#include "isa/test_machine.h"

namespace cloister::isa_tests {
namespace {

using isa::RegisterClass;

constexpr u8 kDynamic = 7;

// The operands go through x registers of the same numbers as the f registers.
constexpr u8 kD = reg::a0, kA = reg::a1, kB = reg::a2, kC = reg::a3;

void fetch_operand(Program& program, RegisterClass kind, u8 number) {
  if (kind == RegisterClass::kFloat) program << Insn{.op = Op::fmv_d_x, .rd = number, .rs1 = number};
}

Program program_for(const FloatCase& row, u8 rm, u8 rd) {
  const isa::Properties& what = isa::properties(row.op);
  Program program;
  fetch_operand(program, what.rs1, kA);
  fetch_operand(program, what.rs2, kB);
  fetch_operand(program, what.rs3, kC);
  Insn insn{.op = row.op, .rd = rd, .rs1 = kA, .rm = rm};
  if (what.rs2 != RegisterClass::kNone) insn.rs2 = kB;
  if (what.rs3 != RegisterClass::kNone) insn.rs3 = kC;
  program << insn;
  if (what.rd == RegisterClass::kFloat) program << Insn{.op = Op::fmv_x_d, .rd = rd, .rs1 = rd};
  return program;
}

void check(TestMachine& machine, const FloatCase& row, u8 rm, u8 rd) {
  const std::string what = fmt::format("{} rm {} of {:#x}, {:#x}, {:#x} to x{}", isa::mnemonic(row.op),
                                       row.rm, row.a, row.b, row.c, rd);
  machine.set_reg(kA, row.a);
  machine.set_reg(kB, row.b);
  machine.set_reg(kC, row.c);
  const Outcome outcome = machine.run(program_for(row, rm, rd));
  ASSERT_FALSE(outcome.trapped) << what;
  EXPECT_EQ(machine.reg(rd), row.expected) << what << fmt::format(": {:#x}", machine.reg(rd));
  EXPECT_EQ(outcome.fcsr & isa::fcsr::kFlags, row.flags) << what;
}

void check_all(std::span<const FloatCase> rows) {
  TestMachine machine;
  for (const FloatCase& row : rows) {
    machine.set_fcsr(0);
    check(machine, row, row.rm, kD);
    check(machine, row, row.rm, kA);
    if (!isa::properties(row.op).has_rounding_mode) continue;
    machine.set_fcsr(u64{row.rm} << isa::fcsr::kFrmShift);
    check(machine, row, kDynamic, kD);
    // The mode in the instruction counts, whatever frm says, and even if frm is no mode.
    for (const u64 frm : std::initializer_list<u64>{0, 1, 2, 3, 4, 5, 7}) {
      machine.set_fcsr(frm << isa::fcsr::kFrmShift);
      check(machine, row, row.rm, kD);
    }
  }
}

TEST(SingleInstructions, DoAsTheManualSays) { check_all(single_cases()); }
TEST(DoubleInstructions, DoAsTheManualSays) { check_all(double_cases()); }

}  // namespace
}  // namespace cloister::isa_tests
