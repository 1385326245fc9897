// SPDX-License-Identifier: Apache-2.0
// From bytes to blocks.
//
// Blocks are cut exactly where the interpreter cuts them: from an entry to the first instruction that ends
// a block, to the page's end or to the longest block allowed. An entry in the middle of another block makes a
// block of its own that repeats the tail: a few instructions twice, and both engines check for safe points
// and budgets at the same instructions, which the deterministic mode and the lockstep need.
#include <algorithm>
#include <cstring>
#include <limits>
#include <numeric>
#include <optional>

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
constexpr u32 kMostWeight = 4096;
// Bound: offsets from a region's page, which host instructions can name.
constexpr i64 kFar = 1 << 30;
// Bound: how many blocks are looked at to see whether a case leads back.
constexpr u32 kMostBlocks = 4;

class Builder {
 public:
  Builder(const PageAt& page_at, const Limits& limits, const Wanted& wanted, std::span<const i32> executed)
      : page_at_(page_at), limits_(limits), wanted_(wanted), executed_(executed) {}

  Region build(i32 offset) {
    add_block(offset);
    for (; from_ < region_.blocks.size(); ++from_) connect(static_cast<i32>(from_));
    connect_targets();
    weigh();
    weigh_far();
    return std::move(region_);
  }

 private:
  // The index of the block that begins at `offset`, made if there is room; else kLeaves.
  i32 block_at(i64 offset) {
    for (std::size_t i = 0; i < region_.blocks.size(); ++i) {
      if (region_.blocks[i].begin == offset) return static_cast<i32>(i);
    }
    if (region_.blocks.size() >= limits_.blocks || steps_ >= limits_.steps) return kLeaves;
    const i32 begin = static_cast<i32>(offset);
    if (std::abs(offset) > kFar || !wanted_(begin) || page(begin) == nullptr) return kLeaves;
    return add_block(begin);
  }

  // Of the page that has `offset`: its bytes, or nullptr.
  const std::byte* page(i32 offset) {
    const i32 distance = page_distance(offset);
    if (distance != distance_ || bytes_ == nullptr) bytes_ = page_at_(distance_ = distance);
    return bytes_;
  }

  i32 add_block(i32 offset) {
    region_.blocks.push_back(read_block(offset));
    found_from_.push_back(from_);
    for (const Step& step : region_.blocks.back().steps)
      region_.uses_float |= isa::properties(step.insn.op).is_float() || is_flags_access(step);
    steps_ += static_cast<u32>(region_.blocks.back().steps.size());
    return static_cast<i32>(region_.blocks.size() - 1);
  }

  // Precondition: the page is there.
  Block read_block(i32 offset) {
    const i32 end = page_distance(offset) + static_cast<i32>(kPageSize);
    Block block;
    block.begin = offset;
    while (block.steps.size() < limits_.block_steps && offset < end) {
      Step step;
      if (!read_step(offset, step)) {
        block.ends_in_interpreter = true;
        break;
      }
      block.steps.push_back(step);
      offset += step.insn.length;
      if (isa::ends_block(step.insn.op)) break;
    }
    block.end = offset;
    return block;
  }

  // False when the instruction goes on in the next page.
  bool read_step(i32 offset, Step& step) {
    const u64 in_page = static_cast<u64>(offset) & kPageMask;
    const std::byte* const bytes = page(offset) + in_page;
    u16 low = 0, high = 0;
    std::memcpy(&low, bytes, 2);
    const bool wide = (low & 3) == 3;
    if (wide && in_page + 4 > kPageSize) return false;
    if (wide) std::memcpy(&high, bytes + 2, 2);
    step.bits = low | u32{high} << 16;
    step.insn = isa::decode(step.bits);
    step.offset = offset;
    return true;
  }

  void connect(i32 index) {
    const Block& block = region_.blocks[static_cast<u32>(index)];
    if (block.steps.empty() || block.ends_in_interpreter) return;
    const Step last = block.steps.back();
    const i32 end = block.end;
    const std::optional<i64> target = known_target(block);
    const bool branches = isa::properties(last.insn.op).format == Format::kB;
    i32 taken = kLeaves, next = kLeaves;
    if (branches || !isa::ends_block(last.insn.op) || is_csr(last.insn.op)) next = block_at(end);
    if (target) taken = block_at(*target);
    if (taken != kLeaves && is_call(last.insn)) note_call(index, block_at(end));
    if (is_table_jump(last.insn) && !target) add_near(last.offset);
    region_.blocks[static_cast<u32>(index)].taken = taken;
    region_.blocks[static_cast<u32>(index)].next = next;
  }

  // Where the block's last instruction jumps to, if it always does or never: a jalr behind an auipc does.
  static std::optional<i64> known_target(const Block& block) {
    const Step& last = block.steps.back();
    const isa::Insn& insn = last.insn;
    if (insn.op == Op::jal || isa::properties(insn.op).format == Format::kB)
      return i64{last.offset} + insn.imm;
    if (insn.op != Op::jalr || block.steps.size() < 2) return std::nullopt;
    const Step& before = block.steps[block.steps.size() - 2];
    if (before.insn.op != Op::auipc || before.insn.rd != insn.rs1 || insn.rs1 == 0) return std::nullopt;
    return (before.offset + before.insn.imm + insn.imm) & ~i64{1};
  }

  static bool is_table_jump(const isa::Insn& insn) {
    return insn.op == Op::jalr && insn.rd == 0 && !is_link(insn.rs1);
  }

  void add_near(i32 from) {
    for (const i32 offset : executed_) {
      if (std::abs(offset - from) <= kNear && leads_back(offset, kMostBlocks)) (void)block_at(offset);
    }
  }

  // Whether what begins there soon comes to another such jump, or to a block of the region: the cases of a
  // switch and the instructions of an interpreter do, other functions do not.
  bool leads_back(i64 offset, u32 blocks) {
    if (blocks == 0 || std::abs(offset) > kFar || page(static_cast<i32>(offset)) == nullptr) return false;
    for (const Block& block : region_.blocks) {
      if (block.begin == offset) return true;
    }
    const Block block = read_block(static_cast<i32>(offset));
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

  void note_call(i32 calls, i32 behind) {
    behind_call_.resize(region_.blocks.size(), kLeaves);
    behind_call_[static_cast<u32>(calls)] = behind;
  }

  // A return may go behind any call that leads to it, a jump by a table to any block near: their code looks.
  void connect_targets() {
    for (Block& block : region_.blocks) {
      if (block.steps.empty()) continue;
      const Step& last = block.steps.back();
      block.by_table = !executed_.empty() && is_table_jump(last.insn) && !known_target(block);
      if (block.by_table) block.targets = all_near(last.offset);
    }
    behind_call_.resize(region_.blocks.size(), kLeaves);
    for (std::size_t i = 0; i < behind_call_.size(); ++i) {
      if (behind_call_[i] != kLeaves)
        connect_returns(static_cast<u32>(region_.blocks[i].taken), behind_call_[i]);
    }
  }

  // Of what begins at `function`, past the calls that it makes.
  void connect_returns(u32 function, i32 behind) {
    std::vector<bool> seen(region_.blocks.size(), false);
    std::vector<u32> open{function};
    while (!open.empty()) {
      const u32 index = open.back();
      open.pop_back();
      Block& block = region_.blocks[index];
      if (seen[index] || block.steps.empty()) continue;
      seen[index] = true;
      if (is_return(block.steps.back().insn)) {
        const bool known =
            std::find(block.targets.begin(), block.targets.end(), behind) != block.targets.end();
        if (!known && block.targets.size() < kMostReturns) block.targets.push_back(behind);
      } else if (behind_call_[index] != kLeaves) {
        open.push_back(static_cast<u32>(behind_call_[index]));
      } else {
        for_each_follower(block, [&open](u32 follower) { open.push_back(follower); });
      }
    }
  }

  // A block on a cycle is guessed to run eight times for each level of nesting, counted by the jumps backward
  // that span it.
  void weigh() {
    for (std::size_t i = 0; i < region_.blocks.size(); ++i) {
      const i32 target = region_.blocks[i].taken;
      if (target == kLeaves) continue;
      const i32 from = region_.blocks[i].begin, to = region_.blocks[static_cast<u32>(target)].begin;
      if (to > from || page_distance(to) != page_distance(from)) continue;
      for (Block& block : region_.blocks) {
        if (block.begin >= to && block.begin <= from && block.weight < kMostWeight) block.weight *= 8;
      }
    }
    weigh_tables();
  }

  // All that jumps by tables reach is one loop.
  void weigh_tables() {
    i32 least = std::numeric_limits<i32>::max(), greatest = std::numeric_limits<i32>::min();
    for (const Block& block : region_.blocks) {
      if (!block.by_table) continue;
      for (const i32 one : block.targets) {
        least = std::min(least, region_.blocks[static_cast<u32>(one)].begin);
        greatest = std::max(greatest, region_.blocks[static_cast<u32>(one)].begin);
      }
    }
    for (Block& block : region_.blocks) {
      if (block.begin >= least && block.begin <= greatest && block.weight < kMostWeight) block.weight *= 8;
    }
  }

  // What is on another page than what leads there, and so on, runs as often as that, a guess.
  void weigh_far() {
    std::vector<u32> before(region_.blocks.size(), 1);
    for (std::size_t i = 1; i < region_.blocks.size(); ++i) {
      const u32 from = found_from_[i];
      Block& block = region_.blocks[i];
      const bool is_near = page_distance(block.begin) == page_distance(region_.blocks[from].begin);
      before[i] = is_near ? before[from] : region_.blocks[from].weight;
      block.weight = std::min(block.weight * before[i], kMostWeight);
    }
  }

  const PageAt& page_at_;
  i32 distance_ = 0;                  // of the page that was asked for last,
  const std::byte* bytes_ = nullptr;  // and its bytes
  const Limits limits_;
  const Wanted& wanted_;
  const std::span<const i32> executed_;
  Region region_;
  u32 steps_ = 0;
  u32 from_ = 0;                  // whose ways on are followed
  std::vector<u32> found_from_;   // by block: whose way on it was
  std::vector<i32> behind_call_;  // by block that calls another of the region; for others kLeaves
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

namespace {

// Where the region goes on in the same function; nowhere from a call whose function it has not.
template <typename Visit>
void for_each_next(const Region& region, const Block& block, Visit visit) {
  const bool ends = block.steps.empty() || is_return(block.steps.back().insn);
  if (ends) return;
  if (!is_call(block.steps.back().insn)) return for_each_follower(block, visit);
  for (u32 i = 0; block.taken != kLeaves && i < region.blocks.size(); ++i) {
    if (region.blocks[i].begin == block.end) visit(i);
  }
}

}  // namespace

std::vector<u32> find_way_round(const Region& region) {
  constexpr u32 kUnseen = std::numeric_limits<u32>::max();
  std::vector<u32> before(region.blocks.size(), kUnseen);
  std::vector<u32> open{0};
  for (std::size_t i = 0; i < open.size() && before[0] == kUnseen; ++i) {
    for_each_next(region, region.blocks[open[i]], [&](u32 follower) {
      if (before[follower] != kUnseen) return;
      before[follower] = open[i];
      open.push_back(follower);
    });
  }
  if (before[0] == kUnseen) return {};
  std::vector<u32> way;
  u32 each = 0;
  do {
    each = before[each];
    const Block& block = region.blocks[each];
    if (is_call(block.steps.back().insn)) way.push_back(static_cast<u32>(block.taken));
    way.push_back(each);
  } while (each != 0);
  std::reverse(way.begin(), way.end());
  return way;
}

Region build(const PageAt& page_at, i32 offset, const Limits& limits, const Wanted& wanted,
             std::span<const i32> executed) {
  return Builder(page_at, limits, wanted, executed).build(offset);
}

Region build(std::span<const std::byte, kPageSize> page, i32 offset, const Limits& limits,
             const Wanted& wanted, std::span<const i32> executed) {
  const auto only = [page](i32 distance) { return distance == 0 ? page.data() : nullptr; };
  return build(only, offset, limits, wanted, executed);
}

}  // namespace cloister::jit::ir
