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

std::vector<ir::Loop> loops_of(std::initializer_list<isa::Insn> insns) {
  ir::Region region = region_of(insns);
  group_accesses(region);
  find_loops(region);
  return region.loops;
}

TEST(Loops, APointerThatWalksIsAStream) {
  const auto loops = loops_of({{.op = Op::ld, .rd = reg::a0, .rs1 = reg::a5, .imm = 16},
                               {.op = Op::addi, .rd = reg::a5, .rs1 = reg::a5, .imm = 8},
                               {.op = Op::bne, .rs1 = reg::a5, .rs2 = reg::a4, .imm = -8},
                               {.op = Op::ebreak}});
  ASSERT_EQ(loops.size(), 1u);
  EXPECT_EQ(loops[0].steps, 3u);
  ASSERT_EQ(loops[0].streams.size(), 1u);
  const ir::Stream& stream = loops[0].streams[0];
  EXPECT_EQ(stream.size, 8u);
  ASSERT_EQ(stream.places.size(), 1u);
  EXPECT_EQ(stream.places[0].plain, reg::a5);
  EXPECT_EQ(stream.places[0].offset, 16);
  EXPECT_EQ(stream.stride, 8);
  EXPECT_EQ(stream.lead_by, 1u);
  EXPECT_EQ(stream.leader.offset, 16);
}

// Compilers turn loops so that they begin in the middle: the first address is a register's own.
TEST(Loops, WhereTheFirstRoundIsAnotherTheSecondLeads) {
  const auto loops = loops_of({{.op = Op::ld, .rd = reg::a0, .rs1 = reg::a5},
                               {.op = Op::addi, .rd = reg::a3, .rs1 = reg::a3, .imm = 8},
                               {.op = Op::addi, .rd = reg::a5, .rs1 = reg::a3},
                               {.op = Op::bne, .rs1 = reg::a3, .rs2 = reg::a4, .imm = -12},
                               {.op = Op::ebreak}});
  ASSERT_EQ(loops.size(), 1u);
  ASSERT_EQ(loops[0].streams.size(), 1u);
  const ir::Stream& stream = loops[0].streams[0];
  EXPECT_EQ(stream.places.size(), 2u);
  EXPECT_EQ(stream.lead_by, 2u);
  EXPECT_EQ(stream.leader.plain, reg::a3);
  EXPECT_EQ(stream.leader.offset, 8);
}

TEST(Loops, OfAPointerThatWalksBackTheLowestPlaceLeads) {
  const auto loops = loops_of({{.op = Op::ld, .rd = reg::a0, .rs1 = reg::a5, .imm = 16},
                               {.op = Op::addi, .rd = reg::a5, .rs1 = reg::a5, .imm = -8},
                               {.op = Op::ld, .rd = reg::a1, .rs1 = reg::a5, .imm = 1600},
                               {.op = Op::bne, .rs1 = reg::a5, .rs2 = reg::a4, .imm = -12},
                               {.op = Op::ebreak}});
  ASSERT_EQ(loops.size(), 1u);
  for (const ir::Stream& stream : loops[0].streams) {
    EXPECT_EQ(stream.stride, -8);
    for (const ir::Sum& place : stream.places) EXPECT_LE(stream.leader.offset, place.offset);
  }
}

TEST(Loops, TwoPointersThatKeepTheirDistanceShareAStream) {
  const auto loops = loops_of({{.op = Op::ld, .rd = reg::a0, .rs1 = reg::a5},
                               {.op = Op::addi, .rd = reg::a1, .rs1 = reg::a5, .imm = 8},
                               {.op = Op::beq, .rs1 = reg::a0, .rs2 = reg::a2, .imm = 20},
                               {.op = Op::ld, .rd = reg::a0, .rs1 = reg::a1},
                               {.op = Op::addi, .rd = reg::a5, .rs1 = reg::a5, .imm = 16},
                               {.op = Op::jal, .imm = -20},
                               {.op = Op::ebreak},
                               {.op = Op::ebreak}});
  ASSERT_EQ(loops.size(), 1u);
  ASSERT_EQ(loops[0].streams.size(), 1u);
  EXPECT_EQ(loops[0].streams[0].members.size(), 2u);
}

// a[i] by an index: the address is a sum of two registers.
TEST(Loops, AnIndexedAddressIsFollowed) {
  const auto loops = loops_of({{.op = Op::add, .rd = reg::a1, .rs1 = reg::a5, .rs2 = reg::a4},
                               {.op = Op::lbu, .rd = reg::a0, .rs1 = reg::a1},
                               {.op = Op::addi, .rd = reg::a5, .rs1 = reg::a5, .imm = 1},
                               {.op = Op::bne, .rs1 = reg::a0, .rs2 = 0, .imm = -12},
                               {.op = Op::ebreak}});
  ASSERT_EQ(loops.size(), 1u);
  ASSERT_EQ(loops[0].streams.size(), 1u);
  EXPECT_NE(loops[0].streams[0].places[0].scaled, 0);
}

TEST(Loops, APointerThatIsLoadedIsNoStreamButTheLoopIsOne) {
  const auto loops = loops_of({{.op = Op::ld, .rd = reg::a0, .rs1 = reg::a0},
                               {.op = Op::bne, .rs1 = reg::a0, .rs2 = 0, .imm = -4},
                               {.op = Op::ebreak}});
  ASSERT_EQ(loops.size(), 1u);
  EXPECT_TRUE(loops[0].streams.empty());
}

TEST(Loops, OneThatWaitsForOthersIsNone) {
  EXPECT_TRUE(loops_of({{.op = Op::lr_w, .rd = reg::a0, .rs1 = reg::a1},
                        {.op = Op::bne, .rs1 = reg::a0, .rs2 = 0, .imm = -4},
                        {.op = Op::ebreak}})
                  .empty());
}

// A loop within another: code that was made of it for good counts nothing, that of the outer one's does.
TEST(Loops, OneThatNobodyCountsAnyMoreIsAsShortAsItWas) {
  const auto loops = [](u64 rounds, u64 left, bool was_short) {
    ir::Region region = region_of({{.op = Op::sd, .rs1 = reg::a5},
                                   {.op = Op::addi, .rd = reg::a5, .rs1 = reg::a5, .imm = 8},
                                   {.op = Op::bne, .rs1 = reg::a5, .rs2 = reg::a4, .imm = -8},
                                   {.op = Op::ld, .rd = reg::a5, .rs1 = reg::a3},
                                   {.op = Op::jal, .imm = -16}});
    group_accesses(region);
    for (ir::Block& block : region.blocks) block.runs = block.begin == 0 ? rounds : left;
    region.blocks[0].was_short = was_short;
    find_loops(region);
    EXPECT_EQ(region.loops.size() + region.short_loops.size(), 1u);
    return region.loops.size();
  };
  EXPECT_EQ(loops(1000, 10, false), 1u);
  EXPECT_EQ(loops(20, 10, false), 0u);
  EXPECT_EQ(loops(0, 10, false), 1u);
  EXPECT_EQ(loops(0, 10, true), 0u);
  EXPECT_EQ(loops(1000, 10, true), 1u);
}

TEST(Loops, ABranchOverASimpleInstructionIsAnAside) {
  const auto loops = loops_of({{.op = Op::lbu, .rd = reg::a0, .rs1 = reg::a5},
                               {.op = Op::addi, .rd = reg::a5, .rs1 = reg::a5, .imm = 1},
                               {.op = Op::beq, .rs1 = reg::a0, .rs2 = 0, .imm = 8},
                               {.op = Op::xori, .rd = reg::a1, .rs1 = reg::a1, .imm = 5},
                               {.op = Op::bne, .rs1 = reg::a5, .rs2 = reg::a4, .imm = -16},
                               {.op = Op::ebreak}});
  ASSERT_EQ(loops.size(), 1u);
  ASSERT_EQ(loops[0].asides.size(), 1u);
  EXPECT_EQ(loops[0].asides[0].steps, 1u);
  EXPECT_EQ(loops[0].asides[0].writes, 1u << reg::a1);
  EXPECT_EQ(loops[0].steps, 4u);
  EXPECT_EQ(loops[0].most_steps, 5u);
}

TEST(Loops, AnAsideThatLiesElsewhereJumpsBack) {
  const auto loops = loops_of({{.op = Op::lbu, .rd = reg::a0, .rs1 = reg::a5},
                               {.op = Op::addi, .rd = reg::a5, .rs1 = reg::a5, .imm = 1},
                               {.op = Op::bltu, .rs1 = reg::a0, .rs2 = reg::a3, .imm = 12},
                               {.op = Op::bne, .rs1 = reg::a5, .rs2 = reg::a4, .imm = -12},
                               {.op = Op::ebreak},
                               {.op = Op::addi, .rd = reg::a1, .rs1 = reg::a1, .imm = 1},
                               {.op = Op::jal, .imm = -12}});
  ASSERT_EQ(loops.size(), 1u);
  ASSERT_EQ(loops[0].asides.size(), 1u);
  EXPECT_EQ(loops[0].asides[0].steps, 2u);
}

TEST(Loops, ABranchOverAnAccessIsAnotherWayRound) {
  EXPECT_TRUE(loops_of({{.op = Op::lbu, .rd = reg::a0, .rs1 = reg::a5},
                        {.op = Op::addi, .rd = reg::a5, .rs1 = reg::a5, .imm = 1},
                        {.op = Op::beq, .rs1 = reg::a0, .rs2 = 0, .imm = 8},
                        {.op = Op::ld, .rd = reg::a1, .rs1 = reg::a1},
                        {.op = Op::bne, .rs1 = reg::a5, .rs2 = reg::a4, .imm = -16},
                        {.op = Op::ebreak}})
                  .empty());
}

}  // namespace
}  // namespace cloister::jit::passes
