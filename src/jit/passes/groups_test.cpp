// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "isa/registers.h"
#include "jit/passes/passes.h"
#include "jit/testing/region_of.h"

namespace cloister::jit::passes {
namespace {

using isa::Op;
using testing::region_of;
namespace reg = isa::reg;

ir::Region grouped(std::initializer_list<isa::Insn> insns) {
  ir::Region region = region_of(insns);
  group_accesses(region);
  return region;
}

TEST(Groups, AccessesByOneRegisterShareALookUp) {
  const ir::Region region = grouped({{.op = Op::ld, .rd = reg::a0, .rs1 = reg::sp, .imm = 8},
                                     {.op = Op::sw, .rs1 = reg::sp, .rs2 = reg::a0, .imm = 32}});
  const ir::Block& block = region.blocks[0];
  ASSERT_EQ(block.steps[0].group, block.steps[1].group);
  const ir::Group& group = block.groups[block.steps[0].group];
  EXPECT_EQ(group.low, 8);
  EXPECT_EQ(group.high, 36);
  EXPECT_TRUE(group.reads && group.writes);
  EXPECT_FALSE(group.is_kept);
}

TEST(Groups, APointerThatWalksStaysInItsGroup) {
  const ir::Region region = grouped({{.op = Op::ld, .rd = reg::a0, .rs1 = reg::a5, .imm = 0},
                                     {.op = Op::addi, .rd = reg::a4, .rs1 = reg::a5, .imm = 16},
                                     {.op = Op::sd, .rs1 = reg::a4, .rs2 = reg::a0, .imm = -8}});
  const ir::Block& block = region.blocks[0];
  EXPECT_EQ(block.steps[0].group, block.steps[2].group);
  EXPECT_EQ(block.groups[block.steps[0].group].high, 16);
}

TEST(Groups, ARegisterThatIsLoadedBeginsAnew) {
  const ir::Region region = grouped({{.op = Op::ld, .rd = reg::a0, .rs1 = reg::a0, .imm = 0},
                                     {.op = Op::ld, .rd = reg::a0, .rs1 = reg::a0, .imm = 0}});
  EXPECT_EQ(region.blocks[0].steps[0].group, ir::kNoGroup);
  EXPECT_EQ(region.blocks[0].steps[1].group, ir::kNoGroup);
}

TEST(Groups, AnAtomicEndsThem) {
  const ir::Region region = grouped({{.op = Op::ld, .rd = reg::a0, .rs1 = reg::sp, .imm = 0},
                                     {.op = Op::amoadd_d, .rd = reg::a1, .rs1 = reg::a2, .rs2 = reg::a3},
                                     {.op = Op::ld, .rd = reg::a0, .rs1 = reg::sp, .imm = 8}});
  EXPECT_EQ(region.blocks[0].steps[0].group, ir::kNoGroup);
  EXPECT_EQ(region.blocks[0].steps[2].group, ir::kNoGroup);
}

TEST(Groups, AnAccessBetweenTwoMembersIsMarked) {
  const ir::Region region = grouped({{.op = Op::ld, .rd = reg::a0, .rs1 = reg::sp, .imm = 0},
                                     {.op = Op::ld, .rd = reg::a1, .rs1 = reg::a2, .imm = 0},
                                     {.op = Op::ld, .rd = reg::a3, .rs1 = reg::sp, .imm = 8}});
  EXPECT_TRUE(region.blocks[0].steps[1].crossed);
  EXPECT_FALSE(region.blocks[0].steps[0].crossed);
}

TEST(Groups, InALoopALookUpIsKept) {
  const ir::Region region = grouped({{.op = Op::ld, .rd = reg::a0, .rs1 = reg::a5, .imm = 0},
                                     {.op = Op::addi, .rd = reg::a5, .rs1 = reg::a5, .imm = 8},
                                     {.op = Op::bne, .rs1 = reg::a5, .rs2 = reg::a4, .imm = -8},
                                     {.op = Op::ebreak}});
  const ir::Block& block = region.blocks[0];
  ASSERT_NE(block.steps[0].group, ir::kNoGroup);
  EXPECT_TRUE(block.groups[block.steps[0].group].is_kept);
}

// Each round comes back by a way in, where all is forgotten.
TEST(Groups, InALoopThatCallsAnotherPageNothingIsKept) {
  const ir::Region region = grouped({{.op = Op::ld, .rd = reg::a0, .rs1 = reg::a5, .imm = 0},
                                     {.op = Op::ld, .rd = reg::a1, .rs1 = reg::a5, .imm = 8},
                                     {.op = Op::jal, .rd = reg::ra, .imm = 2 * static_cast<i32>(kPageSize)},
                                     {.op = Op::addi, .rd = reg::a5, .rs1 = reg::a5, .imm = 8},
                                     {.op = Op::bne, .rs1 = reg::a5, .rs2 = reg::a4, .imm = -16},
                                     {.op = Op::ebreak}});
  const ir::Block& block = region.blocks[0];
  ASSERT_NE(block.steps[0].group, ir::kNoGroup);
  EXPECT_FALSE(block.groups[block.steps[0].group].is_kept);
}

// The function's return may go behind either call, but each time behind its own.
TEST(Groups, CallsWithinTheRegionMakeNoLoop) {
  const ir::Region region = grouped({{.op = Op::jal, .rd = reg::ra, .imm = 28},
                                     {.op = Op::ld, .rd = reg::a0, .rs1 = reg::a5, .imm = 0},
                                     {.op = Op::ld, .rd = reg::a1, .rs1 = reg::a5, .imm = 8},
                                     {.op = Op::jal, .rd = reg::ra, .imm = 16},
                                     {.op = Op::jal, .rd = reg::ra, .imm = 2 * static_cast<i32>(kPageSize)},
                                     {.op = Op::jal, .imm = -20},
                                     {.op = Op::ebreak},
                                     {.op = Op::addi, .rd = reg::a2, .rs1 = reg::a2, .imm = 1},
                                     {.op = Op::jalr, .rs1 = reg::ra}});
  for (const ir::Block& block : region.blocks) {
    for (const ir::Group& group : block.groups) EXPECT_FALSE(group.is_kept);
  }
}

TEST(Groups, WhatALoopCallsIsInTheLoop) {
  const ir::Region region = grouped({{.op = Op::jal, .rd = reg::ra, .imm = 16},
                                     {.op = Op::addi, .rd = reg::a5, .rs1 = reg::a5, .imm = 8},
                                     {.op = Op::bne, .rs1 = reg::a5, .rs2 = reg::a4, .imm = -8},
                                     {.op = Op::ebreak},
                                     {.op = Op::ld, .rd = reg::a0, .rs1 = reg::a5, .imm = 0},
                                     {.op = Op::ld, .rd = reg::a1, .rs1 = reg::a5, .imm = 8},
                                     {.op = Op::beq, .rs1 = reg::a1, .rs2 = 0, .imm = -8},
                                     {.op = Op::jalr, .rs1 = reg::ra}});
  bool is_kept = false;
  for (const ir::Block& block : region.blocks) {
    for (const ir::Group& group : block.groups) is_kept |= group.is_kept;
  }
  EXPECT_TRUE(is_kept);
}

}  // namespace
}  // namespace cloister::jit::passes
