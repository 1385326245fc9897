// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "isa/cases.h"
#include "isa/cause.h"
#include "isa/csr.h"
#include "isa/pte.h"
#include "isa/test_machine.h"

namespace cloister::isa_tests {

std::span<const Op> paging_ops() {
  static constexpr Op kOps[] = {Op::sfence_vma, Op::sinval_vma, Op::sfence_w_inval, Op::sfence_inval_ir};
  return kOps;
}

namespace {

using isa::Cause;
using namespace isa::pte;

constexpr u64 kAll = kValid | kRead | kWrite | kExecute | kAccessed | kDirty;
constexpr u64 kVirtual = 0x4000'0000;  // mapped by a leaf of the last level
constexpr u64 kFirst = TestMachine::kData, kSecond = TestMachine::kData + kPageSize;
constexpr u64 kOne = 0x1111, kTwo = 0x2222;  // what these two pages hold
constexpr u32 kSatp = static_cast<u32>(isa::Csr::satp);

constexpr u64 entry_to(u64 physical, u64 flags) { return physical >> kPageShift << kPpnShift | flags; }

// Page tables with two mappings: the machine's memory at its own address, by one leaf of 1 GiB (in Sv39, 1
// GiB too in the others), and kVirtual. Each address space takes one page for each level.
class Paging : public testing::Test {
 protected:
  Paging() {
    machine.store(kFirst, kOne);
    machine.store(kSecond, kTwo);
    machine.set_reg(reg::a1, kVirtual);
  }

  static u64 table(u32 space, u32 level) { return TestMachine::kTables + (space * 8 + level) * kPageSize; }
  // The last level's entry for kVirtual.
  static u64 leaf_place(u32 space = 0) { return table(space, 0); }

  // Returns satp.
  u64 make_space(isa::PagingShape shape, u64 leaf, u32 space = 0, u64 asid = 0) {
    const u32 root = shape.levels - 1;
    for (u32 level = root; level > 2; --level)
      machine.store(table(space, level), entry_to(table(space, level - 1), kValid));
    machine.store(table(space, 2) + 2 * kEntrySize, entry_to(TestMachine::kBase, kAll));
    machine.store(table(space, 2) + 1 * kEntrySize, entry_to(table(space, 1), kValid));
    machine.store(table(space, 1), entry_to(table(space, 0), kValid));
    machine.store(leaf_place(space), leaf);
    return u64{shape.satp_mode} << isa::satp::kModeShift | asid << isa::satp::kAsidShift |
           table(space, root) >> kPageShift;
  }

  // Switches paging on by a0.
  static Program turn_on() { return Program() << write_csr(kSatp, reg::a0) << Insn{.op = Op::sfence_vma}; }
  static Insn load(u8 rd) { return {.op = Op::ld, .rd = rd, .rs1 = reg::a1}; }
  static Insn store() { return {.op = Op::sd, .rs1 = reg::a1, .rs2 = reg::a2}; }

  Outcome run_mapped(u64 leaf, const Program& program, isa::PagingShape shape = isa::kSv39) {
    machine.set_reg(reg::a0, make_space(shape, leaf));
    return machine.run(turn_on() << program);
  }

  TestMachine machine;
};

TEST_F(Paging, TranslatesInAllShapes) {
  for (const isa::PagingShape shape : {isa::kSv39, isa::kSv48, isa::kSv57}) {
    EXPECT_FALSE(run_mapped(entry_to(kSecond, kAll), Program() << load(reg::a3), shape).trapped);
    EXPECT_EQ(machine.reg(reg::a3), kTwo);
  }
}

TEST_F(Paging, RefusesAddressesThatAreNotCanonical) {
  const u64 wrong = kVirtual | u64{1} << 57;
  machine.set_reg(reg::a1, wrong);
  for (const isa::PagingShape shape : {isa::kSv39, isa::kSv48, isa::kSv57}) {
    const Outcome outcome = run_mapped(entry_to(kFirst, kAll), Program() << load(reg::a3), shape);
    ASSERT_TRUE(outcome.trapped);
    EXPECT_EQ(outcome.cause, isa::scause_of(Cause::kLoadPage));
    EXPECT_EQ(outcome.tval, wrong);
  }
}

// The store changes the leaf after it was used; with a fence of any kind the new one counts.
TEST_F(Paging, FencesShowTheNewMapping) {
  machine.set_reg(reg::a4, leaf_place());
  machine.set_reg(reg::a5, entry_to(kSecond, kAll));
  const Program one_by_one = Program()
                             << Insn{.op = Op::sfence_w_inval} << Insn{.op = Op::sinval_vma, .rs1 = reg::a1}
                             << Insn{.op = Op::sfence_inval_ir};
  const Program kFences[] = {Program() << Insn{.op = Op::sfence_vma},
                             Program() << Insn{.op = Op::sfence_vma, .rs1 = reg::a1},
                             Program() << Insn{.op = Op::sfence_vma, .rs2 = reg::a6},
                             Program() << Insn{.op = Op::sfence_vma, .rs1 = reg::a1, .rs2 = reg::a6},
                             Program() << Insn{.op = Op::sinval_vma},
                             one_by_one};
  machine.set_reg(reg::a6, 7);
  for (const Program& fence : kFences) {
    machine.set_reg(reg::a0, make_space(isa::kSv39, entry_to(kFirst, kAll), 0, 7));
    machine.run(turn_on() << load(reg::a2) << Insn{.op = Op::sd, .rs1 = reg::a4, .rs2 = reg::a5} << fence
                          << load(reg::a3));
    EXPECT_EQ(machine.reg(reg::a2), kOne);
    EXPECT_EQ(machine.reg(reg::a3), kTwo);
  }
}

TEST_F(Paging, AddressSpacesAreKeptApartWithoutAFence) {
  machine.set_reg(reg::a0, make_space(isa::kSv39, entry_to(kFirst, kAll), 0, 1));
  machine.set_reg(reg::a2, make_space(isa::kSv39, entry_to(kSecond, kAll), 1, 2));
  machine.run(turn_on() << load(reg::a3) << write_csr(kSatp, reg::a2) << load(reg::a4)
                        << write_csr(kSatp, reg::a0) << load(reg::a5));
  EXPECT_EQ(machine.reg(reg::a3), kOne);
  EXPECT_EQ(machine.reg(reg::a4), kTwo);
  EXPECT_EQ(machine.reg(reg::a5), kOne);
}

struct FaultCase {
  const char* why;
  u64 leaf;
  Insn access;
  Cause cause;
};

TEST_F(Paging, FaultsByTheRules) {
  const Insn jump{.op = Op::jalr, .rs1 = reg::a1};
  const Insn amo{.op = Op::amoadd_d, .rd = reg::a3, .rs1 = reg::a1, .rs2 = reg::a2};
  const FaultCase kCases[] = {
      {"not valid", entry_to(kFirst, kAll & ~kValid), load(reg::a3), Cause::kLoadPage},
      {"write without read", entry_to(kFirst, kAll & ~kRead), load(reg::a3), Cause::kLoadPage},
      {"not readable", entry_to(kFirst, kValid | kExecute | kAccessed | kDirty), load(reg::a3),
       Cause::kLoadPage},
      {"not writable", entry_to(kFirst, kAll & ~kWrite), store(), Cause::kStorePage},
      {"AMO where not writable", entry_to(kFirst, kAll & ~kWrite), amo, Cause::kStorePage},
      {"not executable", entry_to(kFirst, kAll & ~kExecute), jump, Cause::kFetchPage},
      {"a user's page, SUM clear", entry_to(kFirst, kAll | kUser), load(reg::a3), Cause::kLoadPage},
      {"a user's page is never executed", entry_to(kFirst, kAll | kUser), jump, Cause::kFetchPage},
      {"a reserved bit", entry_to(kFirst, kAll) | u64{1} << 54, load(reg::a3), Cause::kLoadPage},
      {"memory type 3", entry_to(kFirst, kAll) | kMemoryType, load(reg::a3), Cause::kLoadPage},
      {"a pointer in the last level", entry_to(kFirst, kValid), load(reg::a3), Cause::kLoadPage},
      {"NAPOT of a size not defined", entry_to(kFirst, kAll) | kNapot, load(reg::a3), Cause::kLoadPage},
      {"physical address of nothing", entry_to(0x2000'0000, kAll), load(reg::a3), Cause::kLoadAccess},
  };
  for (const FaultCase& row : kCases) {
    const Outcome outcome = run_mapped(row.leaf, Program() << row.access);
    ASSERT_TRUE(outcome.trapped) << row.why;
    EXPECT_EQ(outcome.cause, isa::scause_of(row.cause)) << row.why;
    EXPECT_EQ(outcome.tval, kVirtual) << row.why;
  }
}

TEST_F(Paging, LetsTheSupervisorToUserPagesWhenAsked) {
  machine.set_reg(reg::a2, isa::sstatus::kSum);
  const Insn allow{.op = Op::csrrs, .rs1 = reg::a2, .imm = static_cast<i32>(isa::Csr::sstatus)};
  EXPECT_FALSE(run_mapped(entry_to(kFirst, kAll | kUser), Program() << allow << load(reg::a3)).trapped);
  EXPECT_EQ(machine.reg(reg::a3), kOne);
}

TEST_F(Paging, LetsExecutablePagesBeReadWhenAsked) {
  machine.set_reg(reg::a2, isa::sstatus::kMxr);
  const Insn allow{.op = Op::csrrs, .rs1 = reg::a2, .imm = static_cast<i32>(isa::Csr::sstatus)};
  const u64 leaf = entry_to(kFirst, kValid | kExecute | kAccessed);
  EXPECT_FALSE(run_mapped(leaf, Program() << allow << load(reg::a3)).trapped);
  EXPECT_EQ(machine.reg(reg::a3), kOne);
}

// Svadu: the walk sets them itself.
TEST_F(Paging, MarksPagesAccessedAndDirty) {
  const u64 leaf = entry_to(kFirst, kAll & ~(kAccessed | kDirty));
  run_mapped(leaf, Program() << load(reg::a3));
  EXPECT_EQ(machine.load(leaf_place()), leaf | kAccessed);
  run_mapped(leaf, Program() << store());
  EXPECT_EQ(machine.load(leaf_place()), leaf | kAccessed | kDirty);
  run_mapped(leaf, Program() << load(reg::a3) << store());
  EXPECT_EQ(machine.load(leaf_place()), leaf | kAccessed | kDirty);
}

TEST_F(Paging, LeavesThePageUnmarkedWhenTheAccessFaults) {
  const u64 leaf = entry_to(kFirst, kValid | kRead);
  EXPECT_TRUE(run_mapped(leaf, Program() << store()).trapped);
  EXPECT_EQ(machine.load(leaf_place()) & kDirty, 0u);
}

// Svnapot: sixteen pages by entries that are all the same; the page's own number fills the low bits.
TEST_F(Paging, MapsNaturallyAlignedRangesOf64KiB) {
  const u64 range = TestMachine::kData + 0x2'0000;
  const u64 leaf = entry_to(range + 8 * kPageSize, kAll) | kNapot;
  machine.set_reg(reg::a0, make_space(isa::kSv39, leaf));
  for (u64 i = 0; i < kNapotPages; ++i) {
    machine.store(leaf_place() + i * kEntrySize, leaf);
    machine.store(range + i * kPageSize, 100 + i);
  }
  for (u64 i = 0; i < kNapotPages; ++i) {
    machine.set_reg(reg::a1, kVirtual + i * kPageSize);
    EXPECT_FALSE(machine.run(turn_on() << load(reg::a3)).trapped);
    EXPECT_EQ(machine.reg(reg::a3), 100 + i);
  }
}

TEST_F(Paging, AcceptsMemoryTypes) {
  for (const u64 type : {u64{1}, u64{2}}) {
    EXPECT_FALSE(
        run_mapped(entry_to(kSecond, kAll) | type << kMemoryTypeShift, Program() << load(reg::a3)).trapped);
    EXPECT_EQ(machine.reg(reg::a3), kTwo);
  }
}

TEST_F(Paging, RefusesLargePagesOutOfLine) {
  machine.set_reg(reg::a0, make_space(isa::kSv39, 0));
  machine.store(table(0, 1), entry_to(kFirst + kPageSize, kAll));
  const Outcome outcome = machine.run(turn_on() << load(reg::a3));
  ASSERT_TRUE(outcome.trapped);
  EXPECT_EQ(outcome.cause, isa::scause_of(Cause::kLoadPage));
}

// Half of it lies on a page that is not mapped: the fault names that page's first byte, and nothing is
// written.
TEST_F(Paging, FaultsOnTheSecondPageOfAnAccessOverBoth) {
  machine.set_reg(reg::a0, make_space(isa::kSv39, entry_to(kFirst, kAll)));
  machine.store(leaf_place() + kEntrySize, 0);
  machine.store(kFirst + kPageSize - 8, kOne);
  machine.set_reg(reg::a1, kVirtual + kPageSize - 4);
  machine.set_reg(reg::a2, ~u64{0});
  const Outcome outcome = machine.run(turn_on() << store());
  ASSERT_TRUE(outcome.trapped);
  EXPECT_EQ(outcome.cause, isa::scause_of(Cause::kStorePage));
  EXPECT_EQ(outcome.tval, kVirtual + kPageSize);
  EXPECT_EQ(machine.load(kFirst + kPageSize - 8), kOne);
}

// An instruction of which the second half lies on a page that may not be executed.
TEST_F(Paging, FaultsOnTheSecondPageOfAnInstructionOverBoth) {
  machine.set_reg(reg::a0, make_space(isa::kSv39, entry_to(kFirst, kAll)));
  machine.store(leaf_place() + kEntrySize, 0);
  machine.store(kFirst + kPageSize - 2, 0x0513, 2);
  machine.set_reg(reg::a1, kVirtual + kPageSize - 2);
  const Outcome outcome = machine.run(turn_on() << Insn{.op = Op::jalr, .rs1 = reg::a1});
  ASSERT_TRUE(outcome.trapped);
  EXPECT_EQ(outcome.cause, isa::scause_of(Cause::kFetchPage));
  EXPECT_EQ(outcome.epc, kVirtual + kPageSize - 2);
  EXPECT_EQ(outcome.tval, kVirtual + kPageSize);
}

}  // namespace
}  // namespace cloister::isa_tests
