// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <vector>

#include "base/units.h"
#include "isa/insn.h"
#include "jit/ir/bulk.h"
#include "jit/ir/sum.h"

// What the translator works on: some basic blocks of guest code that jump to one another, entered at the
// first.
//
// A Region has a page, that of its first block, and may have further ones, each at a fixed distance from it.
// It knows offsets from the page's virtual address, never virtual addresses, so its code serves every address
// space and every place at which the pages are mapped at these distances. Addresses that guest code forms
// from its pc are "page-relative".
namespace cloister::jit::ir {

// What is known of a value when the region is translated.
struct Known {
  enum class Kind : u8 {
    kNothing,
    kValue,
    kPageRelative
  };  // kPageRelative: the page's virtual address + value
  Kind kind = Kind::kNothing;
  i64 value = 0;

  explicit operator bool() const { return kind != Kind::kNothing; }
  static Known of(i64 value) { return {Kind::kValue, value}; }
  static Known page_relative(i64 value) { return {Kind::kPageRelative, value}; }
};

inline constexpr u16 kNoGroup = 0xffff;

// A guest instruction, with what the passes found out about it.
struct Step {
  isa::Insn insn;  // may be rewritten by passes/fuse
  u32 bits = 0;    // the guest's
  i32 offset = 0;  // from the region's page, bytes

  bool folded = false;   // passes/fuse: the next step does it too
  Known result;          // passes/constants: rd's value
  Known target;          // passes/constants: where a jalr goes
  bool dead = false;     // passes/dead: nobody can see what it does
  u16 group = kNoGroup;  // passes/groups: which Group of its block it belongs to
  bool crossed = false;  // passes/groups: a Group has members before this step and behind it
};

// Accesses of one block whose addresses differ by constants: one look-up in the soft TLB serves them all if
// all lie in one page. `first` is the step that does the look-up.
struct Group {
  u16 first = 0;
  i64 low = 0;  // offsets from the first's base register as the first finds it: bytes [low, high)
  i64 high = 0;
  bool reads = false;
  bool writes = false;
  u16 members = 0;
  u16 slot = 0;          // of the code's frame: where the look-up's result is kept
  bool is_kept = false;  // the result is kept from one run of the block to the next: in loops
};

// Results of look-ups that a region's code can keep.
inline constexpr u16 kGroupSlots = 32;

inline constexpr i32 kLeaves = -1;

struct Block {
  i32 begin = 0;  // offset from the region's page
  i32 end = 0;    // of what follows
  std::vector<Step> steps;
  std::vector<Group> groups;
  // The blocks of the region that follow, or kLeaves. A block without a branch has only `next`.
  i32 taken = kLeaves;
  i32 next = kLeaves;
  // Of a block that ends in a jump through a register: where in the region it may go. Of a return, the blocks
  // behind calls; of others, blocks that were executed and lie near, looked up in a table.
  std::vector<i32> targets;
  bool by_table = false;
  u32 weight = 1;          // how often it runs against the region's entry, a guess
  u64 runs = 0;            // how often it ran, as counted by code that was made of it before; 0: not known
  bool was_short = false;  // code that was made of it for good found it to be the head of a short loop

  // The block's last instruction straddles the page's end or is none of ours: the interpreter takes over
  // there.
  bool ends_in_interpreter = false;
  bool is_way_in = true;  // the region may be entered here
};

// Groups of a loop whose addresses move by the same constant each round and keep their distance. Where all
// `places` lie in the page of `slot`, and as many strides from `leader` on fit in it, so do all accesses of
// all these rounds.
struct Stream {
  struct Member {
    u32 block;
    u16 group;
  };
  std::vector<Member> members;
  u16 slot = 0;
  i64 low = 0;   // of the group that the slot is of
  u32 size = 0;  // bytes from each place
  std::vector<Sum> places;
  i64 stride = 0;
  Sum leader;  // the place that comes to the page's end first,
  u32 lead_by =
      1;  // and of which round it is: from the first on places move by the stride, or from the second
};

// Steps that a round may leave out: a branch leads over them. `block` of the way round ends in that branch;
// the steps are the first `steps` of block `from`.
struct Aside {
  u32 block = 0;
  u32 from = 0;
  u32 steps = 0;
  u32 writes = 0;  // x registers, as bits
};

// A loop with one way round, but for asides. Of a number of rounds at once its code can look beforehand
// whether they stay in their pages.
struct Loop {
  std::vector<u32> blocks;  // the head first
  u32 steps = 0;            // of a round, without asides
  u32 most_steps = 0;       // with all of them
  u32 rounds = 0;           // the most to look at beforehand
  u32 copies = 1;           // rounds that its code has one behind the other: a power of two
  std::vector<Stream> streams;
  std::vector<Aside> asides;
  std::optional<Bulk> bulk;  // passes/bulk

  const Aside* aside_of(u32 block) const {
    for (const Aside& aside : asides) {
      if (aside.block == block) return &aside;
    }
    return nullptr;
  }
};

// A page that a region has code of.
struct CodePage {
  Gpn number;        // of guest memory, if it is known
  i32 distance = 0;  // of its virtual address from that of the region's page
};

// Of the page that has an offset: its distance.
inline i32 page_distance(i32 offset) { return offset & ~static_cast<i32>(kPageMask); }

struct Region {
  std::vector<CodePage> pages{{}};  // its own first
  std::vector<Block> blocks;        // the entry first
  std::vector<Loop> loops;          // passes/loops
  std::vector<i32> short_loops;     // passes/loops: heads of those that are left too soon to be one
  bool uses_float = false;
  u16 kept_slots = 0;           // passes/groups: the first so many slots are of groups that are kept
  bool is_alone = false;        // no other hart executes
  bool counts_entries = false;  // its code does, with the rounds of loops, and leaves when it is hot

  bool is_wide() const { return pages.size() > 1; }
  // nullptr: the offset is in none.
  const CodePage* page_of(i64 offset) const {
    for (const CodePage& page : pages) {
      if (offset >= page.distance && offset - page.distance < static_cast<i64>(kPageSize)) return &page;
    }
    return nullptr;
  }
  u32 count_steps() const {
    std::size_t count = 0;
    for (const Block& block : blocks) count += block.steps.size();
    return static_cast<u32>(count);
  }
};

inline std::span<const Step> steps_of(const Region& region, const Aside& aside) {
  return {region.blocks[aside.from].steps.data(), aside.steps};
}

// The blocks that may follow within the region.
template <typename Visit>
void for_each_follower(const Block& block, Visit visit) {
  if (block.taken != kLeaves) visit(static_cast<u32>(block.taken));
  if (block.next != kLeaves) visit(static_cast<u32>(block.next));
  for (const i32 one : block.targets) visit(static_cast<u32>(one));
}

// By block: whether it stands at the head of a cycle. Every cycle of the region has one.
std::vector<bool> find_loop_heads(const Region& region);

// The blocks of the shortest way from the region's entry back to there, the entry first, with the first one
// of each function that is called on it; empty: none.
std::vector<u32> find_way_round(const Region& region);

// As the calling convention has them: the way back is in ra or t0.
bool is_call(const isa::Insn& insn);
bool is_return(const isa::Insn& insn);

// Reads or writes fflags, and nothing else.
bool is_flags_access(const Step& step);

// Bounds: a region is compiled at once by a hart that waits for it.
struct Limits {
  u32 blocks;
  u32 steps;
  u32 block_steps = 64;  // as the interpreter's blocks, so that both stop at the same places
};
inline constexpr Limits kFirstLimits{24, 256};
inline constexpr Limits kHotLimits{64, 640};

// The bytes of the page at this distance from the region's; nullptr: it is not to have that page.
using PageAt = std::function<const std::byte*(i32)>;
// Whether the block that begins at this offset from the region's page is worth its place in a region.
using Wanted = std::function<bool(i32)>;

// The region that begins at `offset` of the page at distance 0: along both ways of branches and along jumps
// and calls, as far as the pages and the limits reach, over blocks that are wanted. Jumps through registers
// are taken to lead to those of `executed`, offsets in rising order, that are near. Its first block has no
// steps if the first instruction is not in the page as a whole. Region::pages is left to the caller.
Region build(const PageAt& page_at, i32 offset, const Limits& limits, const Wanted& wanted,
             std::span<const i32> executed = {});
// Of one page.
Region build(std::span<const std::byte, kPageSize> page, i32 offset, const Limits& limits,
             const Wanted& wanted, std::span<const i32> executed = {});

}  // namespace cloister::jit::ir
