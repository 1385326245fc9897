// SPDX-License-Identifier: Apache-2.0
// One look-up for several accesses.
//
// Function prologues and epilogues, structure fields, unrolled copies: runs of loads and stores at small
// offsets from one register. Each would look up the same page again. A group looks up once, for the whole
// stretch of bytes from the lowest to the highest offset; where that stretch crosses a page or is not in the
// soft TLB, the rest of the block runs in a second copy in which every access stands for itself. A look-up is
// good until the next safe point, so an instruction that may call into the host ends all groups.
#include <array>

#include "isa/properties.h"
#include "jit/passes/passes.h"

namespace cloister::jit::passes {
namespace {

using isa::Format;
using isa::Op;

// Bound: a stretch much longer than a cache line's neighbourhood crosses pages too often to pay.
constexpr i32 kMaxStretch = 512;

i32 access_size(Op op) {
  switch (op) {
    case Op::lb:
    case Op::lbu:
    case Op::sb:
      return 1;
    case Op::lh:
    case Op::lhu:
    case Op::sh:
      return 2;
    case Op::lw:
    case Op::lwu:
    case Op::sw:
    case Op::flw:
    case Op::fsw:
      return 4;
    default:
      return 8;
  }
}

bool is_plain_access(Format format) {
  return format == Format::kLoad || format == Format::kStore || format == Format::kFLoad ||
         format == Format::kFStore;
}

class Grouper {
 public:
  explicit Grouper(ir::Block& block) : block_(block) { open_.fill(ir::kNoGroup); }

  void run() {
    for (std::size_t i = 0; i < block_.steps.size(); ++i) visit(static_cast<u16>(i));
    drop_singles();
  }

 private:
  void visit(u16 index) {
    ir::Step& step = block_.steps[index];
    const isa::Properties& p = isa::properties(step.insn.op);
    if (is_plain_access(p.format)) {
      join(index, p.is_store());
    } else if (p.memory != isa::MemoryUse::kNone || p.format == Format::kNone) {
      open_.fill(ir::kNoGroup);
    }
    if (p.rd == isa::RegisterClass::kInteger) open_[step.insn.rd] = ir::kNoGroup;
  }

  void join(u16 index, bool writes) {
    ir::Step& step = block_.steps[index];
    const i32 low = step.insn.imm, high = low + access_size(step.insn.op);
    u16& open = open_[step.insn.rs1];
    if (open != ir::kNoGroup) {
      ir::Group& group = block_.groups[open];
      const i32 new_low = std::min(group.low, low), new_high = std::max(group.high, high);
      if (new_high - new_low > kMaxStretch) open = ir::kNoGroup;
    }
    if (open == ir::kNoGroup) {
      close_others();
      open = static_cast<u16>(block_.groups.size());
      block_.groups.push_back({index, low, high, false, false});
    }
    ir::Group& group = block_.groups[open];
    group.low = std::min(group.low, low);
    group.high = std::max(group.high, high);
    group.reads |= !writes;
    group.writes |= writes;
    step.group = open;
  }

  // One register holds a look-up's result, so one group is open at a time.
  void close_others() { open_.fill(ir::kNoGroup); }

  void drop_singles() {
    std::vector<u16> members(block_.groups.size());
    for (const ir::Step& step : block_.steps) {
      if (step.group != ir::kNoGroup) ++members[step.group];
    }
    for (ir::Step& step : block_.steps) {
      if (step.group != ir::kNoGroup && members[step.group] < 2) step.group = ir::kNoGroup;
    }
  }

  ir::Block& block_;
  std::array<u16, 32> open_;  // by base register
};

}  // namespace

void group_accesses(ir::Region& region) {
  for (ir::Block& block : region.blocks) Grouper(block).run();
}

}  // namespace cloister::jit::passes
