// SPDX-License-Identifier: Apache-2.0
#include "jit/passes/passes.h"

#include <gtest/gtest.h>

#include "isa/registers.h"
#include "jit/testing/region_of.h"

// constants, dead, rank.
namespace cloister::jit::passes {
namespace {

using ir::Known;
using isa::Op;
using testing::region_of;
namespace reg = isa::reg;

TEST(Constants, ALoadedConstantIsKnown) {
  ir::Region region = region_of({{.op = Op::lui, .rd = reg::a0, .imm = 0x12345000},
                                 {.op = Op::addiw, .rd = reg::a0, .rs1 = reg::a0, .imm = 0x678}});
  find_constants(region);
  const Known result = region.blocks[0].steps[1].result;
  EXPECT_EQ(result.kind, Known::Kind::kValue);
  EXPECT_EQ(result.value, 0x12345678);
}

TEST(Constants, AnAddressIsKnownFromItsPage) {
  ir::Region region = region_of({{.op = Op::addi},
                                 {.op = Op::auipc, .rd = reg::ra, .imm = 0x5000},
                                 {.op = Op::jalr, .rd = reg::ra, .rs1 = reg::ra, .imm = 16}});
  find_constants(region);
  const ir::Step& call = region.blocks[0].steps[2];
  EXPECT_EQ(call.target.kind, Known::Kind::kPageRelative);
  EXPECT_EQ(call.target.value, 0x5000 + 4 + 16);
  EXPECT_EQ(call.result.value, 12);
}

TEST(Dead, AWriteThatIsWrittenAgainIsDead) {
  ir::Region region = region_of({{.op = Op::addi, .rd = reg::a0, .rs1 = reg::a1, .imm = 1},
                                 {.op = Op::addi, .rd = reg::a0, .rs1 = reg::a2, .imm = 1}});
  find_dead(region);
  EXPECT_TRUE(region.blocks[0].steps[0].dead);
  EXPECT_FALSE(region.blocks[0].steps[1].dead);
}

TEST(Dead, WhatATrapsHandlerMaySeeIsNot) {
  ir::Region region = region_of({{.op = Op::addi, .rd = reg::a0, .rs1 = reg::a1, .imm = 1},
                                 {.op = Op::ld, .rd = reg::a3, .rs1 = reg::a4},
                                 {.op = Op::addi, .rd = reg::a0, .rs1 = reg::a2, .imm = 1}});
  find_dead(region);
  EXPECT_FALSE(region.blocks[0].steps[0].dead);
}

TEST(Rank, WhatALoopUsesComesFirst) {
  const ir::Region region = region_of({{.op = Op::addi, .rd = reg::s1, .rs1 = reg::s1, .imm = 1},
                                       {.op = Op::addi, .rd = reg::s1, .rs1 = reg::s1, .imm = 1},
                                       {.op = Op::addi, .rd = reg::s1, .rs1 = reg::s1, .imm = 1},
                                       {.op = Op::bne, .rs1 = reg::s1, .rs2 = reg::s2, .imm = 4},
                                       {.op = Op::addi, .rd = reg::a0, .rs1 = reg::a0, .imm = -1},
                                       {.op = Op::bne, .rs1 = reg::a0, .imm = -4},
                                       {.op = Op::ebreak}});
  const Ranking ranking = rank_registers(region);
  ASSERT_FALSE(ranking.integers.empty());
  EXPECT_EQ(ranking.integers[0], reg::a0);
  EXPECT_TRUE(ranking.floats.empty());
}

}  // namespace
}  // namespace cloister::jit::passes
