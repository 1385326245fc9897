// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "hart/state.h"
#include "isa/cases.h"
#include "isa/cause.h"
#include "isa/properties.h"
#include "isa/test_machine.h"

namespace cloister::isa_tests {

std::span<const Op> memory_ops() {
  static constexpr Op kOps[] = {Op::lr_w,      Op::sc_w,      Op::lr_d,      Op::sc_d,
                                Op::cbo_clean, Op::cbo_flush, Op::cbo_inval, Op::cbo_zero};
  return kOps;
}

namespace {

constexpr u64 kData = TestMachine::kData;
constexpr u64 kPattern = 0xeeeeeeee'eeeeeeee;

bool is_float(isa::RegisterClass kind) { return kind == isa::RegisterClass::kFloat; }

// Loads, and brings an FP result where it can be seen.
Program load_program(const LoadCase& row, i32 offset) {
  Program program;
  program << Insn{.op = row.op, .rd = reg::a0, .rs1 = reg::a1, .imm = offset};
  if (is_float(isa::properties(row.op).rd)) program << Insn{.op = Op::fmv_x_d, .rd = reg::a0, .rs1 = reg::a0};
  return program;
}

TEST(Loads, ExtendAsTheManualSays) {
  TestMachine machine;
  for (const LoadCase& row : load_cases()) {
    // In one page, and with the first 8 bytes in one page and the others in the next.
    for (const u64 address : {kData, kData + kPageSize - 8, kData + kPageSize - 3}) {
      machine.store(address, kLoadBytes[0]);
      machine.store(address + 8, kLoadBytes[1]);
      machine.set_reg(reg::a1, address);
      ASSERT_FALSE(machine.run(load_program(row, row.offset)).trapped);
      EXPECT_EQ(machine.reg(reg::a0), row.expected) << isa::mnemonic(row.op) << " at " << row.offset;
    }
  }
}

TEST(Loads, AddANegativeOffset) {
  TestMachine machine;
  machine.store(kData, kLoadBytes[0]);
  machine.set_reg(reg::a1, kData + 2048);
  for (const LoadCase& row : load_cases()) {
    if (row.offset != 0) continue;
    machine.run(load_program(row, -2048));
    EXPECT_EQ(machine.reg(reg::a0), row.expected) << isa::mnemonic(row.op);
  }
}

TEST(Loads, MayOverwriteTheirAddressAndBeDropped) {
  TestMachine machine;
  machine.store(kData, kLoadBytes[0]);
  machine.set_reg(reg::a1, kData);
  machine.run(Program() << Insn{.op = Op::lw, .rd = reg::zero, .rs1 = reg::a1}
                        << Insn{.op = Op::ld, .rd = reg::a1, .rs1 = reg::a1});
  EXPECT_EQ(machine.reg(reg::a1), kLoadBytes[0]);
  EXPECT_EQ(machine.reg(reg::zero), 0u);
}

TEST(Stores, WriteTheirBytesAndNoOthers) {
  TestMachine machine;
  for (const StoreCase& row : store_cases()) {
    for (const u64 address : {kData + 64, kData + kPageSize - 4}) {
      for (const u64 place : {address - 8, address, address + 8}) machine.store(place, kPattern);
      machine.set_reg(reg::a0, row.value);
      machine.set_reg(reg::a1, address);
      Program program;
      if (is_float(isa::properties(row.op).rs2))
        program << Insn{.op = Op::fmv_d_x, .rd = reg::a0, .rs1 = reg::a0};
      program << Insn{.op = row.op, .rs1 = reg::a1, .rs2 = reg::a0, .imm = row.offset};
      ASSERT_FALSE(machine.run(program).trapped);
      EXPECT_EQ(machine.load(address), row.expected) << isa::mnemonic(row.op) << " at " << row.offset;
      EXPECT_EQ(machine.load(address - 8), kPattern);
      EXPECT_EQ(machine.load(address + 8), kPattern);
    }
  }
}

// Whether there is anything to manage at an address that is no memory, only its device could tell.
bool manages_a_block(Op op) { return op == Op::cbo_clean || op == Op::cbo_flush || op == Op::cbo_inval; }

TEST(Accesses, OutsideOfMemoryFaultAndSayWhere) {
  TestMachine machine;
  const u64 nowhere = TestMachine::kBase + TestMachine::kSize;
  machine.set_reg(reg::a1, nowhere);
  for (const isa::Row& row : isa::rows()) {
    const isa::Properties& what = isa::properties(row.op);
    if (row.length != 4 || what.memory == isa::MemoryUse::kNone || manages_a_block(row.op)) continue;
    const Outcome outcome = machine.run(Program() << Insn{.op = row.op, .rs1 = reg::a1});
    EXPECT_TRUE(outcome.trapped) << row.name;
    const auto cause = what.is_store() ? isa::Cause::kStoreAccess : isa::Cause::kLoadAccess;
    EXPECT_EQ(outcome.cause, isa::scause_of(cause)) << row.name;
    EXPECT_EQ(outcome.tval, nowhere) << row.name;
    EXPECT_EQ(outcome.epc, TestMachine::address_after({})) << row.name;
  }
}

TEST(Accesses, ReachDevices) {
  TestMachine machine;
  machine.set_reg(reg::a1, TestMachine::kDevice);
  ASSERT_FALSE(machine
                   .run(Program() << Insn{.op = Op::lw, .rd = reg::a0, .rs1 = reg::a1}
                                  << Insn{.op = Op::sw, .rs1 = reg::a1, .rs2 = reg::a0})
                   .trapped);
  EXPECT_EQ(machine.reg(reg::a0), static_cast<u64>(static_cast<i32>(~TestMachine::kDevice)));
}

TEST(Amos, ReturnTheOldAndStoreTheNew) {
  TestMachine machine;
  for (const AmoCase& row : amo_cases()) {
    for (const u8 aqrl : {u8{0}, u8{1}, u8{2}, u8{3}}) {
      machine.store(kData, row.memory);
      machine.set_reg(reg::a1, kData);
      machine.set_reg(reg::a2, row.operand);
      const Insn insn{.op = row.op, .rd = reg::a0, .rs1 = reg::a1, .rs2 = reg::a2, .aqrl = aqrl};
      ASSERT_FALSE(machine.run(Program() << insn).trapped);
      EXPECT_EQ(machine.reg(reg::a0), row.expected) << isa::disassemble(insn, 0);
      EXPECT_EQ(machine.load(kData), row.expected_memory) << isa::disassemble(insn, 0);
    }
  }
}

TEST(Amos, MayOverwriteTheirOperandOrDropTheResult) {
  TestMachine machine;
  for (const AmoCase& row : amo_cases()) {
    machine.store(kData, row.memory);
    machine.set_reg(reg::a1, kData);
    machine.set_reg(reg::a2, row.operand);
    machine.run(Program() << Insn{.op = row.op, .rd = reg::a2, .rs1 = reg::a1, .rs2 = reg::a2});
    EXPECT_EQ(machine.reg(reg::a2), row.expected) << isa::mnemonic(row.op);
    machine.store(kData, row.memory);
    machine.set_reg(reg::a2, row.operand);
    machine.run(Program() << Insn{.op = row.op, .rd = reg::zero, .rs1 = reg::a1, .rs2 = reg::a2});
    EXPECT_EQ(machine.load(kData), row.expected_memory) << isa::mnemonic(row.op);
  }
}

// -- Reservations ------------------------------------------------------------------------------------

struct Pair {
  Op load, store;
  u64 loaded, stored;  // from memory of 0x8000000180000001, and after a store of 5
};
constexpr Pair kPairs[] = {{Op::lr_w, Op::sc_w, 0xffffffff'80000001, 0x80000001'00000005},
                           {Op::lr_d, Op::sc_d, 0x80000001'80000001, 5}};
constexpr u64 kReserved = 0x80000001'80000001;

class Reservations : public testing::Test {
 protected:
  Reservations() { prepare(); }
  void prepare() {
    machine.store(kData, kReserved);
    machine.set_reg(reg::a1, kData);
    machine.set_reg(reg::a2, 5);
    machine.set_reg(reg::a3, kData + 8);
  }
  static Insn load(Op op) { return {.op = op, .rd = reg::a0, .rs1 = reg::a1}; }
  static Insn store(Op op, u8 address = reg::a1, u8 rd = reg::a4) {
    return {.op = op, .rd = rd, .rs1 = address, .rs2 = reg::a2};
  }

  TestMachine machine;
};

TEST_F(Reservations, LetTheStoreThrough) {
  for (const Pair& pair : kPairs) {
    prepare();
    machine.run(Program() << load(pair.load) << store(pair.store));
    EXPECT_EQ(machine.reg(reg::a0), pair.loaded);
    EXPECT_EQ(machine.reg(reg::a4), 0u);
    EXPECT_EQ(machine.load(kData), pair.stored);
  }
}

TEST_F(Reservations, AreNeeded) {
  for (const Pair& pair : kPairs) {
    prepare();
    machine.run(Program() << store(pair.store));
    EXPECT_NE(machine.reg(reg::a4), 0u);
    EXPECT_EQ(machine.load(kData), kReserved);
  }
}

TEST_F(Reservations, ServeOnce) {
  for (const Pair& pair : kPairs) {
    prepare();
    machine.run(Program() << load(pair.load) << store(pair.store, reg::a1, reg::a5) << store(pair.store));
    EXPECT_EQ(machine.reg(reg::a5), 0u);
    EXPECT_NE(machine.reg(reg::a4), 0u);
  }
}

TEST_F(Reservations, AreForOneAddress) {
  for (const Pair& pair : kPairs) {
    prepare();
    machine.store(kData + 8, kReserved);
    machine.run(Program() << load(pair.load) << store(pair.store, reg::a3, reg::a5) << store(pair.store));
    EXPECT_NE(machine.reg(reg::a5), 0u);
    EXPECT_EQ(machine.load(kData + 8), kReserved);
    EXPECT_NE(machine.reg(reg::a4), 0u) << "a failed store too ends the reservation";
  }
}

TEST_F(Reservations, EndWithAChangeOfTheWord) {
  for (const Pair& pair : kPairs) {
    prepare();
    machine.run(Program() << load(pair.load) << Insn{.op = Op::sd, .rs1 = reg::a1, .rs2 = reg::zero}
                          << store(pair.store));
    EXPECT_NE(machine.reg(reg::a4), 0u);
    EXPECT_EQ(machine.load(kData), 0u);
  }
}

TEST_F(Reservations, AreReplacedByTheNextLoad) {
  for (const Pair& pair : kPairs) {
    prepare();
    machine.store(kData + 8, kReserved);
    machine.run(Program() << load(pair.load) << Insn{.op = pair.load, .rd = reg::a5, .rs1 = reg::a3}
                          << store(pair.store, reg::a3));
    EXPECT_EQ(machine.reg(reg::a4), 0u);
    EXPECT_EQ(machine.load(kData + 8), pair.stored);
  }
}

// -- Cache blocks ------------------------------------------------------------------------------------

TEST(CacheBlocks, AreZeroedWholeAndAlone) {
  TestMachine machine;
  const u64 block = kData + 4 * hart::kZeroBlock;
  for (u64 at = block - 8; at <= block + hart::kZeroBlock; at += 8) machine.store(at, kPattern);
  machine.set_reg(reg::a1, block + hart::kZeroBlock / 2 + 3);
  ASSERT_FALSE(machine.run(Program() << Insn{.op = Op::cbo_zero, .rs1 = reg::a1}).trapped);
  for (u64 at = block; at < block + hart::kZeroBlock; at += 8) ASSERT_EQ(machine.load(at), 0u);
  EXPECT_EQ(machine.load(block - 8), kPattern);
  EXPECT_EQ(machine.load(block + hart::kZeroBlock), kPattern);
}

TEST(CacheBlocks, KeepTheirContentWhenManaged) {
  TestMachine machine;
  for (const Op op : {Op::cbo_clean, Op::cbo_flush, Op::cbo_inval}) {
    machine.set_reg(reg::a0, kPattern);
    machine.set_reg(reg::a1, kData);
    ASSERT_FALSE(machine
                     .run(Program() << Insn{.op = Op::sd, .rs1 = reg::a1, .rs2 = reg::a0}
                                    << Insn{.op = op, .rs1 = reg::a1}
                                    << Insn{.op = Op::ld, .rd = reg::a2, .rs1 = reg::a1})
                     .trapped);
    EXPECT_EQ(machine.reg(reg::a2), kPattern) << isa::mnemonic(op);
  }
}

}  // namespace
}  // namespace cloister::isa_tests
