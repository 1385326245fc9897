// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>

#include "jit/ir/region.h"

// Each pass adds what it finds to the region; none changes what the guest's instructions mean. In this order.
namespace cloister::jit::passes {

// Runs of instructions that the host does in one.
void fuse(ir::Region& region);

// Values that follow from the code alone: lui, auipc, li, la, and the targets of far calls.
void find_constants(ir::Region& region);

// Instructions whose only effect is a register that is written again before anyone, a trap's handler
// included, can look at it.
void find_dead(ir::Region& region);

// Loads and stores that share one look-up in the soft TLB.
void group_accesses(ir::Region& region);

// Loops with one way round, and how their accesses move. After group_accesses().
void find_loops(ir::Region& region);

// Guest registers by how much the region uses them, weighted by loops; unused ones are left out.
// Numbers: 0..31 x registers (0 never stands there), 32..63 f registers.
struct Ranking {
  std::vector<u8> integers;
  std::vector<u8> floats;
};
Ranking rank_registers(const ir::Region& region);
Ranking rank_registers(const ir::Region& region, const ir::Loop& loop);

// What a step reads and writes, as bits numbered like Ranking's. x0 never counts.
struct Effects {
  u64 reads = 0;
  u64 writes = 0;
};
Effects effects(const ir::Step& step);

// Whether a step can leave its block before its end: by a trap, a safe point, or a call into the host.
bool can_leave(const ir::Step& step);

}  // namespace cloister::jit::passes
