// SPDX-License-Identifier: Apache-2.0
// One look-up for several accesses.
//
// Function prologues and epilogues, structure fields, unrolled copies: runs of loads and stores at small
// offsets from one register. Each would look up the same page again. A group looks up once, for the whole
// stretch of bytes from the lowest to the highest offset; where that stretch crosses a page or is not in the
// soft TLB, the rest of the block runs in a second copy in which every access stands for itself. Registers
// that differ by a constant share a group, so walking pointers stay in theirs.
//
// A look-up is good until the next safe point, so an instruction that may call into the host ends all groups,
// and a slow access between a group's members goes on in the second copy. In a loop most look-ups find what
// they found the last time round: there the result is kept, with the page that it is for, and the next round
// only compares. What is kept is forgotten when a call into the host may have ended translations
// (State::renewals), and when the region is left. So a loop that calls functions of other pages keeps
// nothing: its blocks run once for each way in, and to look up in place is half the work of finding nothing
// kept.
#include <algorithm>
#include <array>
#include <bit>

#include "isa/properties.h"
#include "jit/passes/passes.h"

namespace cloister::jit::passes {
namespace {

using isa::Format;
using isa::Op;

// Bound: a stretch much longer than a cache line's neighbourhood crosses pages too often to pay.
constexpr i64 kMaxStretch = 512;
// A block of this weight is in a loop.
constexpr u32 kLoop = 8;

bool is_plain_access(Format format) {
  return format == Format::kLoad || format == Format::kStore || format == Format::kFLoad ||
         format == Format::kFStore;
}

class Grouper {
 public:
  Grouper(ir::Block& block, bool comes_back) : block_(block), in_loop_(comes_back && block.weight >= kLoop) {
    for (Place& place : places_) place = {new_origin(), 0};
  }

  void run() {
    for (std::size_t i = 0; i < block_.steps.size(); ++i) visit(static_cast<u16>(i));
    settle();
  }

 private:
  // What a register holds: a value that nothing is known of, plus a constant.
  struct Place {
    u16 origin = 0;
    i64 offset = 0;
  };
  u16 new_origin() {
    open_.push_back(ir::kNoGroup);
    return static_cast<u16>(open_.size() - 1);
  }

  void close_all() { std::ranges::fill(open_, ir::kNoGroup); }

  void visit(u16 index) {
    ir::Step& step = block_.steps[index];
    const isa::Insn& insn = step.insn;
    const isa::Properties& p = isa::properties(insn.op);
    if (is_plain_access(p.format)) {
      join(index, p.is_store());
    } else if (p.memory != isa::MemoryUse::kNone || p.format == Format::kNone) {
      close_all();
    }
    if (p.rd == isa::RegisterClass::kInteger && insn.rd != 0) places_[insn.rd] = result_of(insn);
  }

  Place result_of(const isa::Insn& insn) {
    Place from = places_[insn.rs1];
    if (insn.op == Op::add && insn.rs1 == 0) return places_[insn.rs2];
    if (insn.op != Op::addi || insn.rs1 == 0) return {new_origin(), 0};
    from.offset += insn.imm;
    return from;
  }

  void join(u16 index, bool writes) {
    ir::Step& step = block_.steps[index];
    const Place place = places_[step.insn.rs1];
    const i64 low = place.offset + step.insn.imm, high = low + isa::access_size(step.insn.op);
    u16& open = open_[place.origin];
    if (open == ir::kNoGroup || !fits(block_.groups[open], low, high)) {
      open = static_cast<u16>(block_.groups.size());
      block_.groups.push_back({index, low, high});
      bases_.push_back(place.offset);
    }
    ir::Group& group = block_.groups[open];
    group.low = std::min(group.low, low);
    group.high = std::max(group.high, high);
    group.reads |= !writes;
    group.writes |= writes;
    ++group.members;
    step.group = open;
  }

  static bool fits(const ir::Group& group, i64 low, i64 high) {
    return std::max(group.high, high) - std::min(group.low, low) <= kMaxStretch;
  }

  // Offsets from the first member's base register. Alone in its group an access gains only by a result that
  // is kept.
  void settle() {
    for (std::size_t i = 0; i < block_.groups.size(); ++i) {
      ir::Group& group = block_.groups[i];
      group.low -= bases_[i];
      group.high -= bases_[i];
      group.is_kept = in_loop_;
    }
    for (ir::Step& step : block_.steps) {
      if (step.group != ir::kNoGroup && block_.groups[step.group].members < 2 && !in_loop_)
        step.group = ir::kNoGroup;
    }
  }

  ir::Block& block_;
  const bool in_loop_;
  std::array<Place, 32> places_;
  std::vector<u16>
      open_;  // by origin: the group that may still grow; its offsets count from there until settle()
  std::vector<i64> bases_;  // by group: the first's base register, from the origin
};

// Bits stand for blocks.
class Cycles {
 public:
  explicit Cycles(const ir::Region& region) : region_(region), reached_(region.blocks.size(), 0) {}

  // By block: whether the region's code comes back to it without being left. What a block calls that does,
  // does too.
  std::vector<bool> find() {
    const std::size_t count = reached_.size();
    if (count > kMostBlocks) return std::vector<bool>(count, true);
    while (extend()) {
    }
    u64 all = 0;
    for (std::size_t i = 0; i < count; ++i) all |= reached_[i] & u64{1} << i;
    for (std::size_t i = 0; i < count; ++i) {
      const ir::Block& block = region_.blocks[i];
      if ((all >> i & 1) == 0 || behind_call(block) == 0) continue;
      all |= u64{1} << block.taken | reached_[static_cast<u32>(block.taken)];
    }
    std::vector<bool> result;
    for (std::size_t i = 0; i < count; ++i) result.push_back((all >> i & 1) != 0);
    return result;
  }

 private:
  static constexpr std::size_t kMostBlocks = 64;

  bool extend() {
    bool changed = false;
    for (std::size_t i = reached_.size(); i-- > 0;) {
      u64 all = reached_[i];
      for (u64 next = followers(region_.blocks[i]); next != 0; next &= next - 1)
        all |= (next & -next) | reached_[static_cast<std::size_t>(std::countr_zero(next))];
      changed |= all != reached_[i];
      reached_[i] = all;
    }
    return changed;
  }

  // A return goes behind its own call: so that is where the call goes.
  u64 followers(const ir::Block& block) const {
    u64 result = behind_call(block);
    if (block.taken != ir::kLeaves) result |= u64{1} << block.taken;
    if (block.next != ir::kLeaves) result |= u64{1} << block.next;
    if (!block.by_table) return result;
    for (const i32 one : block.targets) result |= u64{1} << one;
    return result;
  }

  u64 behind_call(const ir::Block& block) const {
    if (block.taken == ir::kLeaves) return 0;
    const isa::Insn& last = block.steps.back().insn;
    if ((last.op != Op::jal && last.op != Op::jalr) || last.rd == 0) return 0;
    for (std::size_t i = 0; i < region_.blocks.size(); ++i) {
      if (region_.blocks[i].begin == block.end) return u64{1} << i;
    }
    return 0;
  }

  const ir::Region& region_;
  std::vector<u64> reached_;  // by block: those that may follow
};

// The slots go to what runs most, which is what is kept; a group without one is none.
void assign_slots(ir::Region& region) {
  std::vector<ir::Block*> blocks;
  for (ir::Block& block : region.blocks) blocks.push_back(&block);
  std::stable_sort(blocks.begin(), blocks.end(), [](auto a, auto b) { return a->weight > b->weight; });
  u16 used = 0;
  for (ir::Block* block : blocks) {
    std::vector<bool> has_slot(block->groups.size(), false);
    for (ir::Step& step : block->steps) {
      if (step.group == ir::kNoGroup) continue;
      ir::Group& group = block->groups[step.group];
      if (!has_slot[step.group] && used == ir::kGroupSlots) {
        step.group = ir::kNoGroup;
        continue;
      }
      if (!has_slot[step.group]) group.slot = used++;
      if (group.is_kept) region.kept_slots = used;
      has_slot[step.group] = true;
    }
  }
}

void mark_crossed(ir::Block& block) {
  std::vector<u16> last(block.groups.size(), 0);
  for (u16 i = 0; i < block.steps.size(); ++i) {
    if (block.steps[i].group != ir::kNoGroup) last[block.steps[i].group] = i;
  }
  u16 open_to = 0;
  for (u16 i = 0; i < block.steps.size(); ++i) {
    ir::Step& step = block.steps[i];
    step.crossed = i < open_to;
    if (step.group != ir::kNoGroup) open_to = std::max(open_to, last[step.group]);
  }
}

}  // namespace

void group_accesses(ir::Region& region) {
  const std::vector<bool> comes_back = Cycles(region).find();
  for (std::size_t i = 0; i < region.blocks.size(); ++i) Grouper(region.blocks[i], comes_back[i]).run();
  assign_slots(region);
  for (ir::Block& block : region.blocks) mark_crossed(block);
}

}  // namespace cloister::jit::passes
