// SPDX-License-Identifier: Apache-2.0
// From bytes to blocks.
//
// Blocks are cut exactly where the interpreter cuts them: from an entry to the first instruction that ends
// a block, to the page's end or to the longest block allowed. An entry in the middle of another block makes a
// block of its own that repeats the tail: a few instructions twice, and both engines check for safe points
// and budgets at the same instructions, which the deterministic mode and the lockstep need.
#include <algorithm>
#include <cstring>
#include <numeric>

#include "isa/properties.h"
#include "isa/registers.h"
#include "jit/ir/region.h"

namespace cloister::jit::ir {
namespace {

using isa::Format;
using isa::Op;

// They end a block because they may change what the hart must look after, and go on behind it.
bool is_csr(Op op) {
  const Format format = isa::properties(op).format;
  return format == Format::kCsr || format == Format::kCsrI;
}

// The registers for return addresses, by the calling convention.
bool is_link(u8 reg) { return reg == isa::reg::ra || reg == isa::reg::t0; }

// Bound: a return compares with so many places before it asks the jump cache.
constexpr std::size_t kMostReturns = 6;
// Bound: what lies farther away, in bytes, is seldom the case of a switch.
constexpr i32 kNear = 1024;
// Bound: how many blocks are looked at to see whether a case leads back.
constexpr u32 kMostBlocks = 4;

class Builder {
 public:
  Builder(std::span<const std::byte, kPageSize> page, const Limits& limits, const Wanted& wanted,
          std::span<const u16> executed)
      : page_(page), limits_(limits), wanted_(wanted), executed_(executed) {}

  Region build(u16 offset) {
    add_block(offset);
    for (std::size_t i = 0; i < region_.blocks.size(); ++i) connect(static_cast<i32>(i));
    connect_targets();
    weigh();
    return std::move(region_);
  }

 private:
  // The index of the block that begins at `offset`, made if there is room; else kLeaves.
  i32 block_at(i64 offset) {
    if (offset < 0 || offset >= static_cast<i64>(kPageSize)) return kLeaves;
    for (std::size_t i = 0; i < region_.blocks.size(); ++i) {
      if (region_.blocks[i].begin == offset) return static_cast<i32>(i);
    }
    if (region_.blocks.size() >= limits_.blocks || steps_ >= limits_.steps) return kLeaves;
    return wanted_(static_cast<u16>(offset)) ? add_block(static_cast<u16>(offset)) : kLeaves;
  }

  i32 add_block(u16 offset) {
    region_.blocks.push_back(read_block(offset));
    for (const Step& step : region_.blocks.back().steps)
      region_.uses_float |= isa::properties(step.insn.op).is_float() || is_flags_access(step);
    steps_ += static_cast<u32>(region_.blocks.back().steps.size());
    return static_cast<i32>(region_.blocks.size() - 1);
  }

  Block read_block(u16 offset) const {
    Block block;
    block.begin = offset;
    while (block.steps.size() < limits_.block_steps && offset < kPageSize) {
      Step step;
      if (!read_step(offset, step)) {
        block.ends_in_interpreter = true;
        break;
      }
      block.steps.push_back(step);
      offset = static_cast<u16>(offset + step.insn.length);
      if (isa::ends_block(step.insn.op)) break;
    }
    block.end = offset;
    return block;
  }

  // False when the instruction goes on in the next page.
  bool read_step(u16 offset, Step& step) const {
    u16 low = 0, high = 0;
    std::memcpy(&low, &page_[offset], 2);
    const bool wide = (low & 3) == 3;
    if (wide && offset + 4u > kPageSize) return false;
    if (wide) std::memcpy(&high, &page_[offset + 2u], 2);
    step.bits = low | u32{high} << 16;
    step.insn = isa::decode(step.bits);
    step.offset = offset;
    return true;
  }

  void connect(i32 index) {
    const Block& block = region_.blocks[static_cast<u32>(index)];
    if (block.steps.empty() || block.ends_in_interpreter) return;
    const Step last = block.steps.back();
    const u16 end = block.end;
    const bool branches = isa::properties(last.insn.op).format == Format::kB;
    i32 taken = kLeaves, next = kLeaves;
    if (branches || !isa::ends_block(last.insn.op) || is_csr(last.insn.op)) next = block_at(end);
    if (branches || last.insn.op == Op::jal) taken = block_at(i64{last.offset} + last.insn.imm);
    if (taken != kLeaves && is_call(last.insn)) calls_.push_back(block_at(end));
    if (is_table_jump(last.insn)) add_near(last.offset);
    region_.blocks[static_cast<u32>(index)].taken = taken;
    region_.blocks[static_cast<u32>(index)].next = next;
  }

  static bool is_table_jump(const isa::Insn& insn) {
    return insn.op == Op::jalr && insn.rd == 0 && !is_link(insn.rs1);
  }

  void add_near(i32 from) {
    for (const u16 offset : executed_) {
      if (std::abs(offset - from) <= kNear && leads_back(offset, kMostBlocks)) (void)block_at(offset);
    }
  }

  // Whether what begins there soon comes to another such jump, or to a block of the region: the cases of a
  // switch and the instructions of an interpreter do, other functions do not.
  bool leads_back(i64 offset, u32 blocks) const {
    if (offset < 0 || offset >= static_cast<i64>(kPageSize) || blocks == 0) return false;
    for (const Block& block : region_.blocks) {
      if (block.begin == offset) return true;
    }
    const Block block = read_block(static_cast<u16>(offset));
    if (block.steps.empty()) return false;
    const Step& last = block.steps.back();
    if (is_table_jump(last.insn)) return true;
    const bool branches = isa::properties(last.insn.op).format == Format::kB;
    const bool jumps = branches || (last.insn.op == Op::jal && last.insn.rd == 0);
    if (jumps && leads_back(i64{last.offset} + last.insn.imm, blocks - 1)) return true;
    return (branches || !isa::ends_block(last.insn.op)) && leads_back(block.end, blocks - 1);
  }

  std::vector<i32> all_near(i32 from) const {
    std::vector<i32> near;
    for (std::size_t i = 0; i < region_.blocks.size(); ++i) {
      if (std::abs(region_.blocks[i].begin - from) <= kNear) near.push_back(static_cast<i32>(i));
    }
    return near;
  }

  // A return may go behind any call of the region, a jump by a table to any block near: their code looks.
  void connect_targets() {
    std::erase(calls_, kLeaves);
    if (calls_.size() > kMostReturns) calls_.resize(kMostReturns);
    for (Block& block : region_.blocks) {
      if (block.steps.empty()) continue;
      const Step& last = block.steps.back();
      if (is_return(last.insn)) block.targets = calls_;
      block.by_table = !executed_.empty() && is_table_jump(last.insn);
      if (block.by_table) block.targets = all_near(last.offset);
    }
  }

  // A block on a cycle is guessed to run eight times for each level of nesting, counted by the jumps backward
  // that span it.
  void weigh() {
    for (std::size_t i = 0; i < region_.blocks.size(); ++i) {
      const i32 target = region_.blocks[i].taken;
      if (target == kLeaves) continue;
      const u16 from = region_.blocks[i].begin, to = region_.blocks[static_cast<u32>(target)].begin;
      if (to > from) continue;
      for (Block& block : region_.blocks) {
        if (block.begin >= to && block.begin <= from && block.weight < 4096) block.weight *= 8;
      }
    }
    weigh_tables();
  }

  // All that jumps by tables reach is one loop.
  void weigh_tables() {
    u16 least = kPageSize - 1, greatest = 0;
    for (const Block& block : region_.blocks) {
      if (!block.by_table) continue;
      for (const i32 one : block.targets) {
        least = std::min(least, region_.blocks[static_cast<u32>(one)].begin);
        greatest = std::max(greatest, region_.blocks[static_cast<u32>(one)].begin);
      }
    }
    for (Block& block : region_.blocks) {
      if (block.begin >= least && block.begin <= greatest && block.weight < 4096) block.weight *= 8;
    }
  }

  std::span<const std::byte, kPageSize> page_;
  const Limits limits_;
  const Wanted& wanted_;
  const std::span<const u16> executed_;
  Region region_;
  u32 steps_ = 0;
  std::vector<i32> calls_;  // the blocks behind calls within the region
};

}  // namespace

bool is_call(const isa::Insn& insn) {
  return (insn.op == Op::jal || insn.op == Op::jalr) && is_link(insn.rd);
}

bool is_return(const isa::Insn& insn) {
  return insn.op == Op::jalr && insn.rd == 0 && is_link(insn.rs1) && insn.imm == 0;
}

bool is_flags_access(const Step& step) {
  constexpr u32 kFflags = 1;
  if (step.bits >> 20 != kFflags) return false;
  const isa::Insn& insn = step.insn;
  return (insn.op == Op::csrrs && insn.rs1 == 0) || (insn.op == Op::csrrw && insn.rd == 0);
}

namespace {

// Where a walk through the region, depth first, comes back to a block that it has not left, but for `cut`
// blocks, where it never goes on. Without any, the rest has no cycle.
std::vector<bool> find_returns(const Region& region, const std::vector<bool>& cut) {
  enum class Mark : u8 { kNew, kOpen, kDone };
  std::vector<Mark> marks(region.blocks.size(), Mark::kNew);
  std::vector<bool> found(region.blocks.size(), false);
  std::vector<u32> stack(region.blocks.size());
  std::iota(stack.rbegin(), stack.rend(), 0u);
  while (!stack.empty()) {
    const u32 index = stack.back();
    if (marks[index] != Mark::kNew) {
      marks[index] = Mark::kDone;
      stack.pop_back();
      continue;
    }
    marks[index] = Mark::kOpen;
    for_each_follower(region.blocks[index], [&](u32 follower) {
      if (cut[follower]) return;
      if (marks[follower] == Mark::kOpen) found[follower] = true;
      if (marks[follower] == Mark::kNew) stack.push_back(follower);
    });
  }
  return found;
}

}  // namespace

// A walk finds a head for each cycle, and some for a cycle that another head is on as well: those are taken
// out again.
std::vector<bool> find_loop_heads(const Region& region) {
  std::vector<bool> heads = find_returns(region, std::vector<bool>(region.blocks.size(), false));
  for (std::size_t i = 0; i < heads.size(); ++i) {
    if (!heads[i]) continue;
    heads[i] = false;
    const std::vector<bool> left = find_returns(region, heads);
    heads[i] = std::find(left.begin(), left.end(), true) != left.end();
  }
  return heads;
}

Region build(std::span<const std::byte, kPageSize> page, u16 offset, const Limits& limits,
             const Wanted& wanted, std::span<const u16> executed) {
  return Builder(page, limits, wanted, executed).build(offset);
}

}  // namespace cloister::jit::ir
