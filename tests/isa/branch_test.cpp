// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "isa/cases.h"
#include "isa/test_machine.h"

namespace cloister::isa_tests {

std::span<const Op> branch_ops() {
  static constexpr Op kOps[] = {Op::beq,  Op::bne, Op::blt,  Op::bge,  Op::bltu,
                                Op::bgeu, Op::jal, Op::jalr, Op::auipc};
  return kOps;
}

namespace {

struct BranchCase {
  Op op;
  u64 a, b;
  bool taken;
};

constexpr u64 kOnes = ~u64{0};
constexpr u64 kMin = u64{1} << 63;

constexpr BranchCase kBranches[] = {
    {Op::beq, 5, 5, true},           {Op::beq, 5, 6, false},      {Op::beq, 1, 0x1'00000001, false},
    {Op::bne, 5, 5, false},          {Op::bne, 5, 6, true},       {Op::bne, 1, 0x1'00000001, true},
    {Op::blt, kOnes, 0, true},       {Op::blt, 0, kOnes, false},  {Op::blt, 5, 5, false},
    {Op::blt, kMin, kMin - 1, true}, {Op::bge, kOnes, 0, false},  {Op::bge, 0, kOnes, true},
    {Op::bge, 5, 5, true},           {Op::bltu, kOnes, 0, false}, {Op::bltu, 0, kOnes, true},
    {Op::bltu, 5, 5, false},         {Op::bgeu, kOnes, 0, true},  {Op::bgeu, 0, kOnes, false},
    {Op::bgeu, 5, 5, true},
};

Insn set(u8 rd, i32 value) { return {.op = Op::addi, .rd = rd, .imm = value}; }

// a2 = 1 when the branch was not taken, 2 when it was.
TEST(Branches, GoWhereTheManualSays) {
  TestMachine machine;
  for (const BranchCase& row : kBranches) {
    machine.set_reg(reg::a0, row.a);
    machine.set_reg(reg::a1, row.b);
    machine.run(Program() << set(reg::a2, 2) << Insn{.op = row.op, .rs1 = reg::a0, .rs2 = reg::a1, .imm = 8}
                          << set(reg::a2, 1));
    EXPECT_EQ(machine.reg(reg::a2), row.taken ? 2u : 1u)
        << fmt::format("{} {:#x}, {:#x}", isa::mnemonic(row.op), row.a, row.b);
  }
}

TEST(Branches, GoBackward) {
  TestMachine machine;
  machine.set_reg(reg::a0, 10);
  machine.set_reg(reg::a1, 0);
  machine.run(Program() << Insn{.op = Op::addi, .rd = reg::a1, .rs1 = reg::a1, .imm = 3}
                        << Insn{.op = Op::addi, .rd = reg::a0, .rs1 = reg::a0, .imm = -1}
                        << Insn{.op = Op::bne, .rs1 = reg::a0, .rs2 = reg::zero, .imm = -8});
  EXPECT_EQ(machine.reg(reg::a1), 30u);
}

TEST(Branches, ReachToTheEndsOfTheirRange) {
  TestMachine machine;
  // Forward by 4094 over zeros, which are illegal.
  Program program;
  program << Insn{.op = Op::beq, .imm = 4094};
  while (program.size() < 4094) program.half(0);
  program << set(reg::a0, 7);
  EXPECT_FALSE(machine.run(program).trapped);
  EXPECT_EQ(machine.reg(reg::a0), 7u);

  // A jump over all of it, a branch back by 4096, and a jump behind that branch.
  Program back;
  back << Insn{.op = Op::jal, .imm = 4100} << set(reg::a0, 8) << Insn{.op = Op::jal, .imm = 4096};
  while (back.size() < 4100) back.half(0);
  back << Insn{.op = Op::beq, .imm = -4096} << set(reg::a1, 9);
  EXPECT_FALSE(machine.run(back).trapped);
  EXPECT_EQ(machine.reg(reg::a0), 8u);
  EXPECT_EQ(machine.reg(reg::a1), 9u);
}

TEST(Jumps, LinkToTheNextInstruction) {
  TestMachine machine;
  machine.run(Program() << Insn{.op = Op::jal, .rd = reg::ra, .imm = 8} << u32{0});
  EXPECT_EQ(machine.reg(reg::ra), TestMachine::address_after({}) + 4);
}

TEST(Jumps, ToARegisterDropTheLowestBit) {
  TestMachine machine;
  const u64 start = TestMachine::address_after({});
  machine.set_reg(reg::a0, start + 8 + 100 + 1);
  EXPECT_FALSE(
      machine.run(Program() << Insn{.op = Op::jalr, .rd = reg::ra, .rs1 = reg::a0, .imm = -100} << u32{0})
          .trapped);
  EXPECT_EQ(machine.reg(reg::ra), start + 4);
}

TEST(Jumps, MayLinkToTheirOwnRegister) {
  TestMachine machine;
  const u64 start = TestMachine::address_after({});
  machine.set_reg(reg::a0, start + 8);
  EXPECT_FALSE(
      machine.run(Program() << Insn{.op = Op::jalr, .rd = reg::a0, .rs1 = reg::a0} << u32{0}).trapped);
  EXPECT_EQ(machine.reg(reg::a0), start + 4);
}

TEST(Jumps, ToEvenAddressesNeedNoAlignmentOfFour) {
  TestMachine machine;
  Program program;
  program << Insn{.op = Op::jal, .imm = 6};
  program.half(0);
  program << set(reg::a0, 3);
  EXPECT_FALSE(machine.run(program).trapped);
  EXPECT_EQ(machine.reg(reg::a0), 3u);
}

TEST(Auipc, AddsToItsOwnAddress) {
  TestMachine machine;
  const Program before = Program() << set(reg::a0, 0);
  machine.run(Program() << before << Insn{.op = Op::auipc, .rd = reg::a0, .imm = 0x12345000}
                        << Insn{.op = Op::auipc, .rd = reg::a1, .imm = -4096});
  EXPECT_EQ(machine.reg(reg::a0), TestMachine::address_after(before) + 0x12345000);
  EXPECT_EQ(machine.reg(reg::a1), TestMachine::address_after(before) + 4 - 4096);
}

TEST(Loops, RunOverManyBudgets) {
  TestMachine machine;
  machine.set_reg(reg::a0, 20'000);
  machine.set_reg(reg::a1, 0);
  machine.run(Program() << Insn{.op = Op::add, .rd = reg::a1, .rs1 = reg::a1, .rs2 = reg::a0}
                        << Insn{.op = Op::addi, .rd = reg::a0, .rs1 = reg::a0, .imm = -1}
                        << Insn{.op = Op::bne, .rs1 = reg::a0, .rs2 = reg::zero, .imm = -8});
  EXPECT_EQ(machine.reg(reg::a1), 20'000u * 20'001 / 2);
}

}  // namespace
}  // namespace cloister::isa_tests
