// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "isa/cases.h"
#include "isa/cause.h"
#include "isa/test_machine.h"

namespace cloister::isa_tests {
namespace {

// Plain accesses may be misaligned; atomic ones trap, either as misaligned or as what cannot be accessed.
TEST(Misaligned, AtomicsTrap) {
  TestMachine machine;
  machine.set_reg(reg::a1, TestMachine::kData + 2);
  for (const AmoCase& row : amo_cases()) {
    const Outcome outcome = machine.run(Program() << Insn{.op = row.op, .rd = reg::a0, .rs1 = reg::a1});
    ASSERT_TRUE(outcome.trapped) << isa::mnemonic(row.op);
    EXPECT_TRUE(outcome.cause == isa::scause_of(isa::Cause::kStoreMisaligned) ||
                outcome.cause == isa::scause_of(isa::Cause::kStoreAccess));
    EXPECT_EQ(outcome.tval, TestMachine::kData + 2);
  }
}

TEST(Misaligned, LoadReservedTrapsAsALoad) {
  TestMachine machine;
  machine.set_reg(reg::a1, TestMachine::kData + 4);
  const Outcome outcome = machine.run(Program() << Insn{.op = Op::lr_d, .rd = reg::a0, .rs1 = reg::a1});
  ASSERT_TRUE(outcome.trapped);
  EXPECT_TRUE(outcome.cause == isa::scause_of(isa::Cause::kLoadMisaligned) ||
              outcome.cause == isa::scause_of(isa::Cause::kLoadAccess));
}

TEST(Misaligned, StoreConditionalTrapsAsAStore) {
  TestMachine machine;
  machine.set_reg(reg::a1, TestMachine::kData + 4);
  const Outcome outcome = machine.run(Program() << Insn{.op = Op::sc_d, .rd = reg::a0, .rs1 = reg::a1});
  ASSERT_TRUE(outcome.trapped);
  EXPECT_TRUE(outcome.cause == isa::scause_of(isa::Cause::kStoreMisaligned) ||
              outcome.cause == isa::scause_of(isa::Cause::kStoreAccess));
}

// The last byte lies outside of memory: nothing may be written.
TEST(Misaligned, StoreOverTheEndOfMemoryWritesNothing) {
  TestMachine machine;
  const u64 end = TestMachine::kBase + TestMachine::kSize;
  machine.store(end - 8, 0x1111111111111111);
  machine.set_reg(reg::a1, end - 7);
  machine.set_reg(reg::a0, ~u64{0});
  const Outcome outcome = machine.run(Program() << Insn{.op = Op::sd, .rs1 = reg::a1, .rs2 = reg::a0});
  ASSERT_TRUE(outcome.trapped);
  EXPECT_EQ(outcome.cause, isa::scause_of(isa::Cause::kStoreAccess));
  EXPECT_EQ(machine.load(end - 8), 0x1111111111111111u);
}

}  // namespace
}  // namespace cloister::isa_tests
