// SPDX-License-Identifier: Apache-2.0
#include "isa/csr.h"

#include <gtest/gtest.h>

#include "isa/cases.h"
#include "isa/cause.h"
#include "isa/test_machine.h"

namespace cloister::isa_tests {

std::span<const Op> csr_ops() {
  static constexpr Op kOps[] = {Op::csrrw, Op::csrrs, Op::csrrc, Op::csrrwi, Op::csrrsi, Op::csrrci};
  return kOps;
}

namespace {

constexpr u64 kIllegal = isa::scause_of(isa::Cause::kIllegalInstruction);
constexpr i32 number(isa::Csr csr) { return static_cast<i32>(csr); }
constexpr i32 kScratch = number(isa::Csr::sscratch);

struct CsrCase {
  Op op;
  u64 before, operand;  // the operand is the register's value, or the immediate
  u64 after;
};
constexpr CsrCase kCases[] = {
    {Op::csrrw, 0b1100, 0b1010, 0b1010},      {Op::csrrw, ~u64{0}, 0, 0},
    {Op::csrrs, 0b1100, 0b1010, 0b1110},      {Op::csrrs, 0, ~u64{0}, ~u64{0}},
    {Op::csrrc, 0b1100, 0b1010, 0b0100},      {Op::csrrc, ~u64{0}, u64{1} << 63, ~u64{0} >> 1},
    {Op::csrrwi, ~u64{0}, 0b11111, 0b11111},  {Op::csrrwi, ~u64{0}, 0, 0},
    {Op::csrrsi, 0b1100, 0b1010, 0b1110},     {Op::csrrsi, 0b1100, 0, 0b1100},
    {Op::csrrci, ~u64{0}, 0b11111, ~u64{31}}, {Op::csrrci, 0b1100, 0, 0b1100},
};

bool is_immediate(Op op) { return op == Op::csrrwi || op == Op::csrrsi || op == Op::csrrci; }

TEST(CsrInstructions, ReturnTheOldAndWriteTheNew) {
  TestMachine machine;
  for (const CsrCase& row : kCases) {
    machine.set_reg(reg::a0, row.before);
    machine.set_reg(reg::a1, row.operand);
    const u8 rs1 = is_immediate(row.op) ? static_cast<u8>(row.operand) : reg::a1;
    machine.run(Program() << write_csr(kScratch, reg::a0)
                          << Insn{.op = row.op, .rd = reg::a2, .rs1 = rs1, .imm = kScratch}
                          << read_csr(reg::a3, kScratch));
    EXPECT_EQ(machine.reg(reg::a2), row.before) << isa::mnemonic(row.op);
    EXPECT_EQ(machine.reg(reg::a3), row.after) << isa::mnemonic(row.op);
  }
}

TEST(CsrInstructions, SwapWithTheirOwnRegister) {
  TestMachine machine;
  machine.set_reg(reg::a0, 11);
  machine.set_reg(reg::a1, 22);
  machine.run(Program() << write_csr(kScratch, reg::a0)
                        << Insn{.op = Op::csrrw, .rd = reg::a1, .rs1 = reg::a1, .imm = kScratch}
                        << read_csr(reg::a2, kScratch));
  EXPECT_EQ(machine.reg(reg::a1), 11u);
  EXPECT_EQ(machine.reg(reg::a2), 22u);
}

// Of csrrs and csrrc the register's number says whether there is a write, not its value.
TEST(CsrInstructions, ReadOnlyRegistersRefuseWritesButNotReads) {
  TestMachine machine;
  machine.set_reg(reg::a1, 0);
  for (const Insn& write : {Insn{.op = Op::csrrw, .rd = reg::a0}, Insn{.op = Op::csrrs, .rs1 = reg::a1},
                            Insn{.op = Op::csrrc, .rs1 = reg::a1}, Insn{.op = Op::csrrwi},
                            Insn{.op = Op::csrrsi, .rs1 = 1}, Insn{.op = Op::csrrci, .rs1 = 1}}) {
    Insn insn = write;
    insn.imm = number(isa::Csr::time);
    const Outcome outcome = machine.run(Program() << insn);
    EXPECT_TRUE(outcome.trapped) << isa::disassemble(insn, 0);
    EXPECT_EQ(outcome.cause, kIllegal);
    EXPECT_EQ(outcome.tval, isa::encode(insn));
  }
  for (const Op op : {Op::csrrs, Op::csrrc, Op::csrrsi, Op::csrrci}) {
    machine.now = 123456;
    EXPECT_FALSE(
        machine.run(Program() << Insn{.op = op, .rd = reg::a0, .imm = number(isa::Csr::time)}).trapped);
    EXPECT_EQ(machine.reg(reg::a0), 123456u);
  }
}

TEST(CsrInstructions, RegistersOfOtherMachinesAreIllegal) {
  TestMachine machine;
  // mstatus, mhartid, vstart, hstatus, vsstatus, scontext, tselect, custom
  for (const i32 foreign : {0x300, 0xf14, 0x008, 0x600, 0x200, 0x5a8, 0x7a0, 0x800}) {
    const Insn insn{.op = Op::csrrs, .rd = reg::a0, .imm = foreign};
    const Outcome outcome = machine.run(Program() << insn);
    EXPECT_TRUE(outcome.trapped) << foreign;
    EXPECT_EQ(outcome.cause, kIllegal);
    EXPECT_EQ(outcome.tval, isa::encode(insn));
  }
}

TEST(CsrInstructions, InstretCountsInstructions) {
  TestMachine machine;
  constexpr i32 kInstret = number(isa::Csr::instret);
  machine.run(Program() << read_csr(reg::a0, kInstret) << Insn{.op = Op::addi} << Insn{.op = Op::addi}
                        << read_csr(reg::a1, kInstret));
  EXPECT_EQ(machine.reg(reg::a1) - machine.reg(reg::a0), 3u);
}

TEST(CsrRegisters, KeepOnlyWhatTheyHave) {
  TestMachine machine;
  machine.set_reg(reg::a0, ~u64{0});
  machine.run(
      Program() << write_csr(number(isa::Csr::sepc), reg::a0) << read_csr(reg::a1, number(isa::Csr::sepc))
                << write_csr(number(isa::Csr::sie), reg::a0) << read_csr(reg::a2, number(isa::Csr::sie))
                << write_csr(number(isa::Csr::frm), reg::a0) << read_csr(reg::a3, number(isa::Csr::frm))
                << write_csr(number(isa::Csr::satp), reg::a0) << read_csr(reg::a4, number(isa::Csr::satp)));
  EXPECT_EQ(machine.reg(reg::a1), ~u64{1});
  EXPECT_EQ(machine.reg(reg::a2), 0x222u);
  EXPECT_EQ(machine.reg(reg::a3), 7u);
  EXPECT_EQ(machine.reg(reg::a4), 0u) << "a mode that is reserved leaves satp as it was";
}

TEST(CsrRegisters, StatusSaysThatUserModeHas64Bits) {
  TestMachine machine;
  machine.run(Program() << read_csr(reg::a0, number(isa::Csr::sstatus)));
  EXPECT_EQ(machine.reg(reg::a0) & isa::sstatus::kUxl, isa::sstatus::kUxl64);
}

}  // namespace
}  // namespace cloister::isa_tests
