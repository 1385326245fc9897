// SPDX-License-Identifier: Apache-2.0
#include "jit/passes/bulk.h"

#include <gtest/gtest.h>

#include "isa/registers.h"
#include "jit/passes/passes.h"
#include "jit/testing/region_of.h"

namespace cloister::jit::passes {
namespace {

using isa::Op;
using testing::region_of;
namespace reg = isa::reg;

// Of the only loop. The instructions behind it are where it is left to.
std::optional<ir::Bulk> bulk_of(std::initializer_list<isa::Insn> insns) {
  ir::Region region = region_of(insns);
  group_accesses(region);
  find_loops(region);
  EXPECT_EQ(region.loops.size(), 1u);
  return region.loops.empty() ? std::nullopt : region.loops[0].bulk;
}

TEST(Bulk, StringsAreComparedByTwoStops) {
  const auto bulk = bulk_of({{.op = Op::lbu, .rd = reg::a5, .rs1 = reg::a0},
                             {.op = Op::addi, .rd = reg::a1, .rs1 = reg::a1, .imm = 1},
                             {.op = Op::addi, .rd = reg::a0, .rs1 = reg::a0, .imm = 1},
                             {.op = Op::lbu, .rd = reg::a4, .rs1 = reg::a1, .imm = -1},
                             {.op = Op::beq, .rs1 = reg::a5, .rs2 = 0, .imm = 8},
                             {.op = Op::beq, .rs1 = reg::a5, .rs2 = reg::a4, .imm = -20},
                             {.op = Op::ebreak}});
  ASSERT_TRUE(bulk);
  EXPECT_EQ(bulk->element, 1u);
  EXPECT_EQ(bulk->round_bytes, 1u);
  EXPECT_EQ(bulk->stops.size(), 2u);
  EXPECT_EQ(bulk->bases.size(), 2u);
  EXPECT_EQ(bulk->moving.size(), 2u);
  EXPECT_FALSE(bulk->write);
  EXPECT_FALSE(bulk->follows_a_round);
}

// As C libraries look for a byte that is 0.
TEST(Bulk, AStopMayBeMadeOfWords) {
  const auto bulk = bulk_of({{.op = Op::ld, .rd = reg::a2, .rs1 = reg::a5},
                             {.op = Op::addi, .rd = reg::a3, .rs1 = reg::a5, .imm = 8},
                             {.op = Op::add, .rd = reg::a4, .rs1 = reg::a2, .rs2 = reg::a6},
                             {.op = Op::xori, .rd = reg::a2, .rs1 = reg::a2, .imm = -1},
                             {.op = Op::and_, .rd = reg::a4, .rs1 = reg::a4, .rs2 = reg::a2},
                             {.op = Op::and_, .rd = reg::a4, .rs1 = reg::a4, .rs2 = reg::a1},
                             {.op = Op::addi, .rd = reg::a5, .rs1 = reg::a3},
                             {.op = Op::beq, .rs1 = reg::a4, .rs2 = 0, .imm = -28},
                             {.op = Op::ebreak}});
  ASSERT_TRUE(bulk);
  EXPECT_EQ(bulk->element, 8u);
  ASSERT_EQ(bulk->stops.size(), 1u);
  EXPECT_FALSE(bulk->stops[0].if_equal);
}

// Two elements a round, which lie in a row, loaded a store ahead.
TEST(Bulk, AnUnrolledCopyThatLoadsAheadIsOne) {
  const auto bulk = bulk_of({{.op = Op::ld, .rd = reg::a6, .rs1 = reg::a1, .imm = 8},
                             {.op = Op::sd, .rs1 = reg::a0, .rs2 = reg::a4},
                             {.op = Op::ld, .rd = reg::a4, .rs1 = reg::a1, .imm = 16},
                             {.op = Op::sd, .rs1 = reg::a0, .rs2 = reg::a6, .imm = 8},
                             {.op = Op::addi, .rd = reg::a2, .rs1 = reg::a2, .imm = -2},
                             {.op = Op::addi, .rd = reg::a1, .rs1 = reg::a1, .imm = 16},
                             {.op = Op::addi, .rd = reg::a0, .rs1 = reg::a0, .imm = 16},
                             {.op = Op::bne, .rs1 = reg::a2, .rs2 = 0, .imm = -28},
                             {.op = Op::ebreak}});
  ASSERT_TRUE(bulk);
  ASSERT_TRUE(bulk->write);
  EXPECT_TRUE(bulk->nodes[bulk->write->node].is_load());
  EXPECT_EQ(bulk->nodes[bulk->write->node].value, 0);
  EXPECT_FALSE(bulk->write->may_overlap);
  EXPECT_EQ(bulk->round_bytes, 16u);
  ASSERT_EQ(bulk->carried.size(), 1u);
  EXPECT_EQ(bulk->carried[0].reg, reg::a4);
  EXPECT_TRUE(bulk->follows_a_round);
  ASSERT_EQ(bulk->bounds.size(), 1u);
  EXPECT_EQ(bulk->bounds[0].shift, 1u);
}

TEST(Bulk, AFillWritesOneValue) {
  const auto bulk = bulk_of({{.op = Op::sd, .rs1 = reg::a5, .rs2 = reg::a4, .imm = 8},
                             {.op = Op::sd, .rs1 = reg::a5, .rs2 = reg::a4},
                             {.op = Op::addi, .rd = reg::a5, .rs1 = reg::a5, .imm = 16},
                             {.op = Op::bltu, .rs1 = reg::a5, .rs2 = reg::a3, .imm = -12},
                             {.op = Op::ebreak}});
  ASSERT_TRUE(bulk);
  ASSERT_TRUE(bulk->write);
  EXPECT_EQ(bulk->write->offset, 0);
  EXPECT_TRUE(bulk->nodes[bulk->write->node].is_plain());
  ASSERT_EQ(bulk->bounds.size(), 1u);
  EXPECT_EQ(bulk->bounds[0].kind, ir::Bulk::Bound::Kind::kBelow);
}

TEST(Bulk, WhatLeavesGapsIsNone) {
  EXPECT_FALSE(bulk_of({{.op = Op::sw, .rs1 = reg::a5, .rs2 = reg::a4},
                        {.op = Op::addi, .rd = reg::a5, .rs1 = reg::a5, .imm = 8},
                        {.op = Op::bne, .rs1 = reg::a5, .rs2 = reg::a3, .imm = -8},
                        {.op = Op::ebreak}}));
}

// A sum goes from round to round.
TEST(Bulk, WhatGathersIsNone) {
  EXPECT_FALSE(bulk_of({{.op = Op::ld, .rd = reg::a4, .rs1 = reg::a5},
                        {.op = Op::add, .rd = reg::a0, .rs1 = reg::a0, .rs2 = reg::a4},
                        {.op = Op::addi, .rd = reg::a5, .rs1 = reg::a5, .imm = 8},
                        {.op = Op::bne, .rs1 = reg::a5, .rs2 = reg::a3, .imm = -12},
                        {.op = Op::ebreak}}));
}

// A byte's lane cannot tell that a register holds no byte at all.
TEST(Bulk, BytesThatMustEqualARegisterAreNone) {
  EXPECT_FALSE(bulk_of({{.op = Op::lbu, .rd = reg::a4, .rs1 = reg::a5},
                        {.op = Op::addi, .rd = reg::a5, .rs1 = reg::a5, .imm = 1},
                        {.op = Op::beq, .rs1 = reg::a4, .rs2 = reg::a3, .imm = -8},
                        {.op = Op::ebreak}}));
}

}  // namespace
}  // namespace cloister::jit::passes
