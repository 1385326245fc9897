// SPDX-License-Identifier: Apache-2.0
// Several instructions that the host does in one.
//
// Programs built for plain RV64GC spell out what Zba and Zbb have instructions for: an array's index shifted
// and added, a word's upper half cleared by two shifts, a rotation by two shifts and an OR. The last of such
// a run is rewritten to the instruction that does it all; the ones before are dropped where the last
// overwrites what they made, else they stay, and passes/dead may find that nobody looks. The interpreter,
// where it is called, sees the guest's own instructions.
#include <array>

#include "isa/properties.h"
#include "jit/passes/passes.h"

namespace cloister::jit::passes {
namespace {

using isa::Insn;
using isa::Op;

class Fuser {
 public:
  explicit Fuser(ir::Block& block) : block_(block) { written_.fill(-1); }

  void run() {
    for (std::size_t i = 0; i < block_.steps.size(); ++i) {
      ir::Step& step = block_.steps[i];
      if (i > 0) (void)(fuse_index(block_.steps[i - 1], step) || fuse_extension(block_.steps[i - 1], step));
      fuse_rotation(step);
      if (isa::properties(step.insn.op).rd == isa::RegisterClass::kInteger)
        written_[step.insn.rd] = static_cast<int>(i);
    }
  }

 private:
  static void rewrite(Insn& insn, Op op, u8 rs1, u8 rs2, i32 imm) {
    insn.op = op;
    insn.rs1 = rs1;
    insn.rs2 = rs2;
    insn.imm = imm;
  }

  // slli t, x, 1..3; add t, t, b: shNadd t, x, b. Likewise from a word without sign.
  static bool fuse_index(ir::Step& shift, ir::Step& sum) {
    constexpr Op kPlain[] = {Op::illegal, Op::sh1add, Op::sh2add, Op::sh3add};
    constexpr Op kWord[] = {Op::illegal, Op::sh1add_uw, Op::sh2add_uw, Op::sh3add_uw};
    const Insn& first = shift.insn;
    Insn& second = sum.insn;
    const bool word = first.op == Op::slli_uw;
    if ((first.op != Op::slli && !word) || first.imm < 1 || first.imm > 3 || first.rd == 0) return false;
    if (second.op != Op::add || second.rd != first.rd || second.rs1 == second.rs2) return false;
    if (second.rs1 != first.rd && second.rs2 != first.rd) return false;
    const u8 base = second.rs1 == first.rd ? second.rs2 : second.rs1;
    rewrite(second, (word ? kWord : kPlain)[first.imm], first.rs1, base, 0);
    shift.folded = true;
    return true;
  }

  // slli t, x, 32; srli t, t, 32 - n: the word's upper half cleared, then shifted left by n.
  static bool fuse_extension(ir::Step& left, ir::Step& right) {
    const Insn& first = left.insn;
    Insn& second = right.insn;
    if (first.op != Op::slli || first.imm != 32 || first.rd == 0) return false;
    if (second.op != Op::srli || second.rs1 != first.rd || second.rd != first.rd) return false;
    if (second.imm < 1 || second.imm > 32) return false;
    const i32 by = 32 - second.imm;
    rewrite(second, by == 0 ? Op::add_uw : Op::slli_uw, first.rs1, 0, by);
    left.folded = true;
    return true;
  }

  // sll t, x, n; srl u, x, width - n; or d, t, u: a rotation of x, if x is still what it was.
  void fuse_rotation(ir::Step& step) {
    Insn& insn = step.insn;
    if (insn.op != Op::or_ && insn.op != Op::xor_ && insn.op != Op::add) return;
    const Insn *left = made_by(insn.rs1), *right = made_by(insn.rs2);
    if (left == nullptr || right == nullptr) return;
    if (left->op == Op::srli || left->op == Op::srliw) std::swap(left, right);
    const bool word = left->op == Op::slliw && right->op == Op::srliw;
    if (!word && (left->op != Op::slli || right->op != Op::srli)) return;
    if (left->rs1 != right->rs1 || left->imm + right->imm != (word ? 32 : 64) || left->imm == 0) return;
    const u8 source = left->rs1;
    const int earliest = std::min(written_[insn.rs1], written_[insn.rs2]);
    if (source == 0 || written_[source] >= earliest) return;
    rewrite(insn, word ? Op::roriw : Op::rori, source, 0, right->imm);
  }

  const Insn* made_by(u8 reg) const {
    if (reg == 0 || written_[reg] < 0) return nullptr;
    return &block_.steps[static_cast<std::size_t>(written_[reg])].insn;
  }

  ir::Block& block_;
  std::array<int, 32> written_;  // by register: the step that wrote it last
};

}  // namespace

void fuse(ir::Region& region) {
  for (ir::Block& block : region.blocks) Fuser(block).run();
}

}  // namespace cloister::jit::passes
