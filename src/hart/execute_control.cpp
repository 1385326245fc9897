// SPDX-License-Identifier: Apache-2.0
#include "hart/execute.h"

// Jumps and branches, and the ways between blocks.
namespace cloister::hart::op {

OP(end_of_block) { return follow(s, links(u).next, pc, pc + u->offset); }

OP(jal) {
  s.x[u->rd] = next_pc(u, pc);
  return follow(s, links(u).taken, pc, pc + static_cast<u64>(u->imm));
}

OP(jalr) {
  const u64 target = (s.x[u->rs1] + static_cast<u64>(u->imm)) & ~u64{1};
  s.x[u->rd] = next_pc(u, pc);
  return jump(s, target);
}

#define BRANCH(name, condition)                                                         \
  OP(name) {                                                                            \
    const u64 a = s.x[u->rs1];                                                          \
    const u64 b = s.x[u->rs2];                                                          \
    if (condition) return follow(s, links(u).taken, pc, pc + static_cast<u64>(u->imm)); \
    return follow(s, links(u).next, pc, next_pc(u, pc));                                \
  }
BRANCH(beq, a == b)
BRANCH(bne, a != b)
BRANCH(blt, static_cast<i64>(a) < static_cast<i64>(b))
BRANCH(bge, static_cast<i64>(a) >= static_cast<i64>(b))
BRANCH(bltu, a < b)
BRANCH(bgeu, a >= b)

}  // namespace cloister::hart::op
