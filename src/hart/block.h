// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bitset>
#include <cstddef>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/os/mapping.h"
#include "base/units.h"
#include "hart/state.h"
#include "isa/insn.h"

namespace cloister::hart {

struct Uop;

// Executes `u` and what follows it, up to a block boundary where the hart must be looked after. `pc` is the
// virtual address of the block's first instruction.
using Handler = void (*)(State& s, const Uop* u, u64 pc);

// A decoded instruction.
struct Uop {
  Handler run;
  i64 imm;  // as isa::Insn's; of jumps and auipc: from the block's first instruction; of system
            // instructions and floating-point checks: the instruction's bits
  u8 rd;    // x0 as destination is kSink
  u8 rs1;
  u8 rs2;
  u8 rm;       // rounding mode; aqrl of an LR
  u8 length;   // bytes
  u8 left;     // instructions from this one to the end of the block
  u16 offset;  // bytes from the block's first instruction
};
static_assert(sizeof(Uop) == 24);

// Follows a block's last uop: the blocks on the same page where its jump leads, once they are known. Such a
// link needs no translation: whatever maps this page maps the target too.
struct Links {
  Block* taken;
  Block* next;
  u64 unused;
};
static_assert(sizeof(Links) == sizeof(Uop));

// Instructions that are entered at the first and lie on one page; the last one may jump. An instruction that
// straddles two pages is a block of its own. In memory: the Block, its uops, its Links, its instructions'
// bytes.
struct Block {
  u64 address;   // guest-physical, of the first instruction
  Block* chain;  // of the hash bucket
  u32 epoch;     // when its bytes were last known to be memory's
  u16 count;     // instructions
  u16 bytes;     // of them
  u32 uops_count;
  u32 heat;                // times that it was entered, until it is translated
  const void* translated;  // the translator's record of machine code that begins here, if there is some

  Uop* uops() { return reinterpret_cast<Uop*>(this + 1); }
  Links& links() { return *reinterpret_cast<Links*>(uops() + uops_count); }
  bool straddles() const { return (address & kPageMask) + bytes > kPageSize; }
  std::span<u16> code() { return {reinterpret_cast<u16*>(&links() + 1), bytes / sizeof(u16)}; }
};

inline Links& links(const Uop* last) { return *reinterpret_cast<Links*>(const_cast<Uop*>(last + 1)); }

// A hart's decoded blocks, by guest-physical address. Bound: `most_bytes` of them; then all are dropped.
class BlockCache {
 public:
  // `entrances`: whether blocks begin with op::entrance, for a translator.
  BlockCache(u64 most_bytes, bool entrances);
  bool has_entrances() const { return entrances_; }

  Block* find(u64 address) const;
  void remove(Block* block);
  // Where in a page blocks begin, one bit for each two bytes; nullptr: none does.
  using Starts = std::bitset<kPageSize / 2>;
  const Starts* starts(Gpn page) const;

  // Room for a block, not yet in the cache; nullptr when all must be dropped first.
  Block* allocate(u32 uops, u32 code_bytes);
  void insert(Block* block);
  // For drop_blocks().
  void drop_all();
  u64 drops() const { return drops_; }

 private:
  static constexpr u64 kAhead = 256 * kKiB;  // so much is asked of the host at once
  static constexpr u64 kBuckets = 65536;
  void mark(u64 address, bool begins);
  static u64 bucket(u64 address) { return (address >> 1 ^ address >> 13) % kBuckets; }

  const bool entrances_;
  os::Mapping memory_;
  u64 used_ = 0;       // of it, from the beginning
  u64 populated_ = 0;  // likewise
  std::vector<Block*> buckets_;
  std::unordered_map<u64, Starts> starts_;  // by page, for a translator
  u64 drops_ = 0;
};

// One instruction, `offset` bytes into its block, with `left` instructions from it to the block's end.
Uop make_uop(const isa::Insn& insn, u32 bits, u16 offset, u8 left);

// The instructions at `code`, which lies `room` bytes before the end of a page. `address` is where they lie
// in the guest. Precondition: the first instruction lies wholly on the page.
Block* decode_block(BlockCache& cache, GuestPhys address, const u16* code);
// The one instruction `bits`, of four bytes, that begins at the last two of a page.
Block* decode_straddling(BlockCache& cache, GuestPhys address, u32 bits);

// The uops of the block that lies at `code`, as decode_block() makes them, without an entrance. One more at
// the end stands for the Links.
std::vector<Uop> decode_uops(std::span<const u16> code);

// Whether the block's instructions are what lies at `code`.
bool is_unchanged(Block& block, const u16* code);

}  // namespace cloister::hart
