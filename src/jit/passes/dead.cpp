// SPDX-License-Identifier: Apache-2.0
#include "jit/passes/passes.h"

namespace cloister::jit::passes {
namespace {

// Backward, with the registers that somebody may still look at. Where a step can leave the block, all are.
void mark_dead(ir::Block& block) {
  u64 seen = ~u64{0};
  for (auto step = block.steps.rbegin(); step != block.steps.rend(); ++step) {
    if (step->folded) {
      step->dead = true;
      continue;
    }
    if (can_leave(*step)) {
      seen = ~u64{0};
      continue;
    }
    const Effects effect = effects(*step);
    step->dead = (effect.writes & seen) == 0;
    if (step->dead) continue;
    seen = (seen & ~effect.writes) | effect.reads;
  }
}

}  // namespace

void find_dead(ir::Region& region) {
  for (ir::Block& block : region.blocks) mark_dead(block);
}

}  // namespace cloister::jit::passes
