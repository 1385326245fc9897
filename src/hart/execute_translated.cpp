// SPDX-License-Identifier: Apache-2.0
#include "hart/execute.h"
#include "hart/translator.h"

// From blocks to their translations. Where a hart has a translator, each block begins with an `entrance`,
// which counts, and passes by the block's uops once there is machine code for it.
namespace cloister::hart::op {

namespace {

Block& block_of(const Uop* entrance) { return *(reinterpret_cast<Block*>(const_cast<Uop*>(entrance)) - 1); }

// Whether the block at `pc` must be interpreted this time. The steps that enter() took off are the
// translation's to take. It may come round to `pc` where another block is by then.
[[gnu::noinline]] bool run_translation(State& s, Block& block, u64 pc) {
  s.countdown += block.count;
  s.pc = pc;
  const u32 tag = s.jump_tag, epoch = s.epoch;
  if (s.core->translator->execute(*s.core, block) == Translator::Outcome::kLeft) return false;
  if (s.pc != pc || s.jump_tag != tag || s.epoch != epoch) return false;
  s.countdown -= block.count;
  return true;
}

// Asks run()'s loop for a translation of the block, which is then entered again.
[[gnu::noinline]] void ask_for_translation(State& s, Block& block, u64 pc) {
  s.countdown += block.count;
  s.core->wanted = &block;
  return leave(s, pc);
}

}  // namespace

OP(entrance) {
  Block& block = block_of(u);
  if (block.translated == nullptr) {
    if (s.core->translator->is_hot(++block.heat)) [[unlikely]]
      return ask_for_translation(s, block, pc);
  } else if (!run_translation(s, block, pc)) {
    return;
  }
  NEXT;
}

}  // namespace cloister::hart::op
