// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <type_traits>

#include "base/units.h"
#include "hart/csr_file.h"

// What a hart's instructions work on from one to the next. The interpreter and the translator run on the same
// State, so code may go from one to the other at every block boundary.
namespace cloister::hart {

struct Block;
struct Core;
namespace fp {
struct ThreadState;
}

// Zicbom's and Zicboz's block sizes, for the device tree. The manual only wants a power of two within a page;
// with a page, Linux's clear_page() is one instruction.
inline constexpr u64 kCacheBlock = 64;
inline constexpr u64 kZeroBlock = kPageSize;

// Where writes to x0 go: decoded blocks name this register instead, so that no instruction asks for x0.
inline constexpr u32 kSink = 32;

// A cached translation of one page, one tag for each access that it allows. A tag is the page's virtual
// address with the context's number in the low 12 bits; kNoTag matches nothing. Host address = va + addend.
struct TlbEntry {
  u64 read_tag;
  u64 write_tag;
  u64 exec_tag;
  u64 addend;
};
inline constexpr u64 kNoTag = ~u64{0};
inline constexpr TlbEntry kNoEntry = {kNoTag, kNoTag, kNoTag, 0};
inline constexpr u32 kTlbEntryShift = 5;
static_assert(sizeof(TlbEntry) == 1 << kTlbEntryShift);

enum class Use : u8 { kFetch, kLoad, kStore };

constexpr u64 tag_for(const TlbEntry& entry, Use use) {
  if (use == Use::kFetch) return entry.exec_tag;
  return use == Use::kLoad ? entry.read_tag : entry.write_tag;
}

// The block that begins at virtual address `pc`, if `tag` and `epoch` are the State's jump_tag and epoch, and
// its machine code, or nullptr as long as nobody asked for it. Both are as memory is in that epoch. Within
// one line of the host's cache, and nobody who jumps by it has to look at another.
struct alignas(32) JumpEntry {
  u64 pc;
  u32 tag;
  u32 epoch;
  Block* block;
  const void* translated;
};
inline constexpr u64 kJumpEntries = 65536;

// Reasons to leave the straight path at the next block boundary: bits of State::attention.
namespace attention {
inline constexpr u32 kInterrupt = 1;  // an interrupt may be deliverable now
inline constexpr u32 kTimer = 2;      // time() may have reached stimecmp
inline constexpr u32 kSafePoint = 4;  // the guest memory asks for one
inline constexpr u32 kFence = 8;      // fences are posted
inline constexpr u32 kExit = 16;      // run() is asked to return
inline constexpr u32 kCode = 32;      // the translator has something
// Who sleeps executes nothing, so for him these have time until he wakes.
inline constexpr u32 kCanWait = kFence | kCode;
}  // namespace attention

struct State {
  u64 x[33] = {};  // x[0] is never written
  u64 f[32] = {};  // singles NaN-boxed
  u64 pc = 0;      // up to date only between blocks

  // -- Soft TLB of the current context --------------------------------------------------------------------
  TlbEntry* tlb = nullptr;
  u64 tlb_mask = 0;  // (entries - 1) << kTlbEntryShift
  u64 context = 0;   // its number, 12 bits
  u64 renewals =
      0;  // counts what may have ended translations: all that was looked up before is good no longer

  // -- Code -----------------------------------------------------------------------------------------------
  JumpEntry* jumps = nullptr;
  u64* returns = nullptr;  // the privilege's ReturnStack: the last call's address
  // Side by side, as in JumpEntry: translated code compares both at once.
  alignas(8) u32 jump_tag = 0;  // the context's number, and above it a count of flushes
  u32 epoch = 0;  // counts what may have changed code: blocks of an older one are compared with memory
  std::atomic<u32> attention{0};
  i64 countdown = 0;       // steps (instructions and traps) until run() returns; run() stops when not above 0
  Block** link = nullptr;  // where a missed jump wants its block noted

  // -- LR and SC ------------------------------------------------------------------------------------------
  u64 reserved_address = 0;
  u64 reserved_value = 0;
  u8 reserved_size = 0;  // 0: nothing reserved

  // -- Privilege and floating point -----------------------------------------------------------------------
  bool supervisor = true;
  u8 fs = 0;  // sstatus.FS
  u8 frm = 0;
  u8 fflags = 0;  // but for those that fp::take_flags() would give

  CsrFile csr;
  Core* core = nullptr;

  // -- The translator's -----------------------------------------------------------------------------------
  u64 page = 0;                           // virtual address of the page that translated code runs on
  fp::ThreadState* float_unit = nullptr;  // of the thread in run()
  u8 stepped = 0;  // a handler that translated code called came to its end without a trap
};
static_assert(std::is_standard_layout_v<State>);

// The entry that may translate `va`.
inline TlbEntry& tlb_entry(TlbEntry* bank, u64 mask, u64 va) {
  const u64 offset = (va >> (kPageShift - kTlbEntryShift)) & mask;
  return *reinterpret_cast<TlbEntry*>(reinterpret_cast<char*>(bank) + offset);
}
inline TlbEntry& tlb_entry(const State& s, u64 va) { return tlb_entry(s.tlb, s.tlb_mask, va); }
inline u64 tlb_tag(const State& s, u64 va) { return (va & ~kPageMask) | s.context; }

inline JumpEntry& jump_entry(const State& s, u64 pc) { return s.jumps[(pc >> 1) & (kJumpEntries - 1)]; }

}  // namespace cloister::hart
