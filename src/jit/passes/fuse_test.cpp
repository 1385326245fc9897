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

std::vector<ir::Step> fused(std::initializer_list<isa::Insn> insns) {
  ir::Region region = region_of(insns);
  fuse(region);
  find_dead(region);
  return region.blocks[0].steps;
}

TEST(Fuse, AShiftedIndexIsAddedInOne) {
  const auto steps = fused({{.op = Op::slli, .rd = reg::a5, .rs1 = reg::a5, .imm = 3},
                            {.op = Op::add, .rd = reg::a5, .rs1 = reg::a5, .rs2 = reg::a4}});
  EXPECT_TRUE(steps[0].dead);
  EXPECT_EQ(steps[1].insn.op, Op::sh3add);
  EXPECT_EQ(steps[1].insn.rs1, reg::a5);
  EXPECT_EQ(steps[1].insn.rs2, reg::a4);
}

TEST(Fuse, AnIndexThatIsStillNeededIsNot) {
  const auto steps = fused({{.op = Op::slli, .rd = reg::a5, .rs1 = reg::a3, .imm = 3},
                            {.op = Op::add, .rd = reg::a0, .rs1 = reg::a5, .rs2 = reg::a4}});
  EXPECT_FALSE(steps[0].dead);
  EXPECT_EQ(steps[1].insn.op, Op::add);
}

TEST(Fuse, AnUnsignedWordIndexesAnArray) {
  const auto steps = fused({{.op = Op::slli, .rd = reg::a5, .rs1 = reg::a3, .imm = 32},
                            {.op = Op::srli, .rd = reg::a5, .rs1 = reg::a5, .imm = 30},
                            {.op = Op::add, .rd = reg::a5, .rs1 = reg::a5, .rs2 = reg::a4}});
  EXPECT_TRUE(steps[0].dead && steps[1].dead);
  EXPECT_EQ(steps[2].insn.op, Op::sh2add_uw);
  EXPECT_EQ(steps[2].insn.rs1, reg::a3);
}

TEST(Fuse, TwoShiftsAndAnOrAreARotation) {
  const auto steps = fused({{.op = Op::srliw, .rd = reg::a4, .rs1 = reg::a3, .imm = 6},
                            {.op = Op::slliw, .rd = reg::a5, .rs1 = reg::a3, .imm = 26},
                            {.op = Op::or_, .rd = reg::a5, .rs1 = reg::a5, .rs2 = reg::a4}});
  EXPECT_EQ(steps[2].insn.op, Op::roriw);
  EXPECT_EQ(steps[2].insn.rs1, reg::a3);
  EXPECT_EQ(steps[2].insn.imm, 6);
  EXPECT_TRUE(steps[1].dead);
  EXPECT_FALSE(steps[0].dead);  // a4 may be looked at behind the block
}

TEST(Fuse, ARotationNeedsItsSourceAsItWas) {
  const auto steps = fused({{.op = Op::srliw, .rd = reg::a4, .rs1 = reg::a3, .imm = 6},
                            {.op = Op::slliw, .rd = reg::a3, .rs1 = reg::a3, .imm = 26},
                            {.op = Op::or_, .rd = reg::a5, .rs1 = reg::a3, .rs2 = reg::a4}});
  EXPECT_EQ(steps[2].insn.op, Op::or_);
  const auto other = fused({{.op = Op::srliw, .rd = reg::a4, .rs1 = reg::a3, .imm = 6},
                            {.op = Op::slliw, .rd = reg::a5, .rs1 = reg::a3, .imm = 27},
                            {.op = Op::or_, .rd = reg::a5, .rs1 = reg::a5, .rs2 = reg::a4}});
  EXPECT_EQ(other[2].insn.op, Op::or_);
}

}  // namespace
}  // namespace cloister::jit::passes
