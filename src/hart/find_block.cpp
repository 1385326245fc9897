// SPDX-License-Identifier: Apache-2.0
#include <optional>

#include "base/check.h"
#include "hart/core.h"
#include "hart/execute.h"

// From a pc to the block that begins there: by the jump cache, else by translation and the block cache, else
// by decoding.
//
// Code that changed. RISC-V lets a hart execute old instructions until its next fence.i, so stores need not
// be watched. A fence.i counts up the hart's epoch; links and jump entries are followed only to blocks of the
// present epoch. So every block comes by here before it runs again, where its bytes are compared with
// memory's: equal, and it is of the present epoch; different, and it is decoded anew.
//
// An instruction that straddles two pages depends on both pages' translations and content: its bytes are put
// together and compared each time that it is looked up here, and no link leads to it.
namespace cloister::hart {

namespace {

using isa::Cause;

struct Code {
  GuestPhys address;
  const u16* host;
};

// Where the code at `pc` lies; nothing when a trap was taken, which is at `pc` but shows `pc` + `ahead` as
// the address that failed.
std::optional<Code> locate_code(Core& core, u64 pc, u64 ahead) {
  State& s = core.state;
  const u64 va = pc + ahead;
  const TlbEntry& entry = tlb_entry(s, va);
  if (entry.exec_tag == tlb_tag(s, va)) {
    const GuestPhys page = core.tlb.origin(va).page.address();
    return Code{page + (va & kPageMask), reinterpret_cast<const u16*>(va + entry.addend)};
  }
  const Place place = locate(s, va, Use::kFetch);
  if (place.kind == Place::Kind::kMemory)
    return Code{place.address, reinterpret_cast<const u16*>(place.host)};
  take_trap(core, isa::scause_of(place.fault), va);
  return std::nullopt;
}

u32 parcel(const u16* place) { return __atomic_load_n(place, __ATOMIC_RELAXED); }

// Whether `block` is what memory holds at `code`.
bool is_valid(const State& s, Block& block, const Code& code) {
  if (block.address != code.address.raw || block.straddles()) return false;
  if (block.epoch == s.epoch) return true;
  if (!is_unchanged(block, code.host)) return false;
  block.epoch = s.epoch;
  return true;
}

// The block in the cache, if it still is what memory holds. `last` is where the jump cache led when it was
// last asked, which saves the look-up after a flush; or nullptr.
Block* find_valid(Core& core, const Code& code, Block* last) {
  if (last != nullptr && is_valid(core.state, *last, code)) return last;
  Block* block = core.blocks.find(code.address.raw);
  if (block == nullptr || is_valid(core.state, *block, code)) return block;
  core.blocks.remove(block);
  return nullptr;
}

// Decodes by `decode`, after dropping all blocks if there is no room.
template <typename Decode>
Block* make(Core& core, Decode decode) {
  Block* block = decode();
  if (block == nullptr) {
    drop_blocks(core);
    block = decode();
  }
  CHECK(block != nullptr);
  ++core.tally.decoded_blocks;
  block->epoch = core.state.epoch;
  core.blocks.insert(block);
  if (core.translator != nullptr) block->translated = core.translator->find(*block);
  return block;
}

Block* find_on_page(Core& core, const Code& code, Block* last) {
  if (Block* block = find_valid(core, code, last)) return block;
  return make(core, [&] { return decode_block(core.blocks, code.address, code.host); });
}

Block* find_straddling(Core& core, u64 pc, const Code& first, u32 low) {
  const auto second = locate_code(core, pc, 2);
  if (!second) return nullptr;
  const u32 bits = low | parcel(second->host) << 16;
  core.tlb.note_jump(pc + 2);
  const u16 parcels[2] = {static_cast<u16>(low), static_cast<u16>(bits >> 16)};
  Block* block = core.blocks.find(first.address.raw);
  if (block != nullptr && block->bytes == sizeof(parcels) && is_unchanged(*block, parcels)) {
    block->epoch = core.state.epoch;
    return block;
  }
  if (block != nullptr) core.blocks.remove(block);
  return make(core, [&] { return decode_straddling(core.blocks, first.address, bits); });
}

bool is_last_parcel(u64 pc) { return (pc & kPageMask) == kPageSize - 2; }

}  // namespace

void drop_blocks(Core& core) {
  core.blocks.drop_all();
  core.tlb.clear_jumps();
}

namespace {

bool is_present(const State& s, const JumpEntry& entry, u64 pc) {
  return entry.pc == pc && entry.tag == s.jump_tag && entry.epoch == s.epoch;
}

void note(Core& core, u64 pc, Block* block) {
  State& s = core.state;
  core.tlb.note_jump(pc);
  jump_entry(s, pc) = {pc, s.jump_tag, s.epoch, block, nullptr};
}

}  // namespace

Block* find_known_block(Core& core) {
  State& s = core.state;
  const u64 pc = s.pc;
  const JumpEntry& entry = jump_entry(s, pc);
  if (is_present(s, entry, pc)) return entry.block;
  if (is_last_parcel(pc)) return nullptr;
  ++core.tally.lookups;
  Block* block = entry.pc == pc ? entry.block : nullptr;
  const auto code = locate_code(core, pc, 0);
  if (!code) return nullptr;
  if (block == nullptr || !is_valid(s, *block, *code)) {
    block = core.blocks.find(code->address.raw);
    if (block == nullptr || !is_valid(s, *block, *code)) return nullptr;
  }
  note(core, pc, block);
  return block;
}

Block* find_block(Core& core) {
  State& s = core.state;
  const u64 pc = s.pc;
  const JumpEntry& entry = jump_entry(s, pc);
  if (is_present(s, entry, pc)) return entry.block;
  ++core.tally.lookups;
  Block* last = entry.pc == pc ? entry.block : nullptr;
  const auto code = locate_code(core, pc, 0);
  if (!code) return nullptr;
  const u32 low = is_last_parcel(pc) ? parcel(code->host) : 0;
  Block* block = (low & 3) == 3 ? find_straddling(core, pc, *code, low) : find_on_page(core, *code, last);
  if (block != nullptr) note(core, pc, block);
  return block;
}

}  // namespace cloister::hart
