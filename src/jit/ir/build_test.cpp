// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>

#include "isa/registers.h"
#include "jit/testing/region_of.h"

namespace cloister::jit::ir {
namespace {

using isa::Op;
using testing::region_of;
namespace reg = isa::reg;

TEST(Build, ABranchHasTwoFollowersAndAJumpOne) {
  const Region region = region_of({{.op = Op::beq, .rs1 = reg::a0, .rs2 = reg::a1, .imm = 12},
                                   {.op = Op::addi, .rd = reg::a0, .rs1 = reg::a0, .imm = 1},
                                   {.op = Op::jal, .imm = -8},
                                   {.op = Op::ebreak}});
  ASSERT_EQ(region.blocks.size(), 3u);
  const Block& first = region.blocks[0];
  EXPECT_EQ(region.blocks[static_cast<u32>(first.next)].begin, 4);
  EXPECT_EQ(region.blocks[static_cast<u32>(first.taken)].begin, 12);
  const Block& jump = region.blocks[static_cast<u32>(first.next)];
  EXPECT_EQ(jump.taken, 0);
  EXPECT_EQ(jump.next, kLeaves);
}

TEST(Build, EveryCycleHasAHead) {
  const Region region = region_of({{.op = Op::addi, .rd = reg::a0, .rs1 = reg::a0, .imm = -1},
                                   {.op = Op::bne, .rs1 = reg::a0, .imm = -4},
                                   {.op = Op::ebreak}});
  const std::vector<bool> heads = find_loop_heads(region);
  EXPECT_TRUE(heads[0]);
  for (std::size_t i = 1; i < heads.size(); ++i) EXPECT_FALSE(heads[i]);
  EXPECT_GT(region.blocks[0].weight, region.blocks[1].weight);
}

TEST(Build, OneHeadIsEnoughForCyclesThatShareABlock) {
  // The loop is entered at two of its blocks.
  const Region region = region_of({{.op = Op::beq, .rs1 = reg::a0, .imm = 12},
                                   {.op = Op::addi, .rd = reg::a1, .rs1 = reg::a1, .imm = 1},
                                   {.op = Op::bne, .rs1 = reg::a1, .rs2 = reg::a2, .imm = 8},
                                   {.op = Op::addi, .rd = reg::a0, .rs1 = reg::a0, .imm = 1},
                                   {.op = Op::bne, .rs1 = reg::a0, .rs2 = reg::a3, .imm = -12},
                                   {.op = Op::bne, .rs1 = reg::a1, .rs2 = reg::a3, .imm = -16},
                                   {.op = Op::ebreak}});
  const std::vector<bool> heads = find_loop_heads(region);
  EXPECT_EQ(std::count(heads.begin(), heads.end(), true), 1);
}

// Past one of two calls of a function, which is not in each round.
TEST(Build, TheShortestWayRoundIsFound) {
  const Region region = region_of({{.op = Op::jal, .rd = reg::ra, .imm = 20},
                                   {.op = Op::beq, .rs1 = reg::a0, .imm = 8},
                                   {.op = Op::jal, .rd = reg::ra, .imm = 12},
                                   {.op = Op::addi, .rd = reg::a0, .rs1 = reg::a0, .imm = -1},
                                   {.op = Op::jal, .imm = -16},
                                   {.op = Op::jalr, .rs1 = reg::ra}});
  std::vector<i32> way;
  for (const u32 block : find_way_round(region)) way.push_back(region.blocks[block].begin);
  EXPECT_EQ(way, (std::vector<i32>{0, 20, 4, 12}));
}

TEST(Build, WhereNothingLeadsBackThereIsNoWayRound) {
  const Region region = region_of({{.op = Op::beq, .rs1 = reg::a0, .imm = 8},
                                   {.op = Op::addi, .rd = reg::a1, .rs1 = reg::a1, .imm = 1},
                                   {.op = Op::bne, .rs1 = reg::a1, .imm = -4},
                                   {.op = Op::ebreak}});
  EXPECT_TRUE(find_way_round(region).empty());
}

TEST(Build, AReturnMayGoBehindTheCallsOfItsRegion) {
  const Region region = region_of({{.op = Op::jal, .rd = reg::ra, .imm = 8},
                                   {.op = Op::ebreak},
                                   {.op = Op::addi, .rd = reg::a0, .rs1 = reg::a0, .imm = 1},
                                   {.op = Op::jalr, .rs1 = reg::ra}});
  const Block& callee = region.blocks[static_cast<u32>(region.blocks[0].taken)];
  ASSERT_EQ(callee.targets.size(), 1u);
  EXPECT_EQ(region.blocks[static_cast<u32>(callee.targets[0])].begin, 4);
}

TEST(Build, AJumpThroughARegisterMayGoToWhatWasExecutedNear) {
  std::array<std::byte, kPageSize> page{};
  const u32 jump = isa::encode({.op = Op::jalr, .rs1 = reg::a5});
  const std::array<i32, 3> executed = {0, 256, 2048};
  for (const i32 at : executed) std::memcpy(&page[static_cast<u32>(at)], &jump, sizeof(jump));
  const Region region = build(
      page, 0, kHotLimits, [](i32) { return true; }, executed);
  ASSERT_EQ(region.blocks.size(), 2u);
  EXPECT_TRUE(region.blocks[0].by_table);
  EXPECT_EQ(region.blocks[0].targets.size(), 2u);
}

TEST(Build, WhatNobodyWantsStaysOut) {
  std::array<std::byte, kPageSize> page{};
  const u32 branch = isa::encode({.op = Op::beq, .rs1 = reg::a0, .rs2 = reg::a1, .imm = 12});
  std::memcpy(page.data(), &branch, sizeof(branch));
  const Region region = build(page, 0, kFirstLimits, [](i32) { return false; });
  ASSERT_EQ(region.blocks.size(), 1u);
  EXPECT_EQ(region.blocks[0].taken, kLeaves);
  EXPECT_EQ(region.blocks[0].next, kLeaves);
}

TEST(Build, OnlyPlainReadsAndWritesOfTheFlagsAreFlagsAccesses) {
  const Region region = region_of({{.op = Op::csrrs, .rd = reg::a0, .imm = 1}});
  EXPECT_TRUE(is_flags_access(region.blocks[0].steps[0]));
  EXPECT_TRUE(region.uses_float);
  const Region frm = region_of({{.op = Op::csrrs, .rd = reg::a0, .imm = 2}});
  EXPECT_FALSE(is_flags_access(frm.blocks[0].steps[0]));
}

}  // namespace
}  // namespace cloister::jit::ir
