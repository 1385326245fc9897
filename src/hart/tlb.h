// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bitset>
#include <vector>

#include "base/units.h"
#include "hart/state.h"
#include "memory/page_set.h"

namespace cloister::hart {

// An address space: what satp's MODE and ASID name.
struct Space {
  u8 mode = 0;  // 0: bare
  u16 asid = 0;
  bool operator==(const Space&) const = default;
};

// How an address space is looked at: privilege, sstatus.SUM and MXR.
enum class Sight : u8 { kUser, kUserMxr, kSupervisor, kSupervisorSum, kSupervisorMxr, kSupervisorSumMxr };

// A hart's cached translations: of pages to host memory (the soft TLB), and, by way of State::jump_tag, of
// virtual addresses to decoded blocks. The owner's thread only.
//
// Invariant: a cached translation is reachable only while no fence has asked for its end.
class Tlb {
 public:
  // Bound: `entries` is a power of two from 4 to 65536, for each of three banks.
  Tlb(State& state, u32 entries);

  // Makes `space`, seen in the way of `sight`, the context of State's accesses.
  void select(Space space, Sight sight);

  // Where a page comes from: for forget(), and for fences that hit one address of a larger page.
  struct Origin {
    Gpn page;
    u8 page_shift = kPageShift;  // log2 of the guest's page size
  };
  // The current context's entry for the page of `va`, emptied if it was another page's.
  TlbEntry& claim(u64 va, Origin origin, std::byte* host_page);
  Origin origin(u64 va) const;  // of the entry that may translate `va` now

  // A jump entry for code in the page of `va` is being made.
  void note_jump(u64 va) { jump_pages_.set(jump_page(va)); }

  // sfence.vma's forms. Those with an address drop it in all address spaces.
  void flush_all();
  void flush_space(u16 asid);
  void flush_page(u64 va);

  // The blocks that jumps lead to may no longer be valid.
  void flush_jumps();
  // The blocks are no more.
  void clear_jumps();
  void forget(const memory::PageSet& pages);

 private:
  struct Slot {
    Space space;
    u16 number = 0;
    bool used = false;
  };
  struct Range {  // of virtual pages, both ends included
    u64 first = ~u64{0};
    u64 last = 0;
    bool contains(u64 page) const { return first <= page && page <= last; }
  };

  // More than a program and a kernel have pages of code, so that a fence for data seldom hits one by chance.
  static constexpr u64 kJumpPages = 16384;
  static u64 jump_page(u64 va) { return (va >> kPageShift) & (kJumpPages - 1); }
  static u64 half(u64 va) { return va >> 63; }
  Slot& slot(Space space);
  u16 number_of(Space space);
  void apply();
  void clear_everything();
  void note_large_page(u64 va, u8 page_shift);
  void flush_large_pages(u64 va);

  State& state_;
  const u64 size_;                 // entries of a bank
  std::vector<TlbEntry> entries_;  // three banks: user, supervisor, supervisor with SUM
  std::vector<Origin> origins_;    // one for each entry
  std::vector<JumpEntry> jumps_;
  std::vector<Slot> slots_;
  std::bitset<kJumpPages> jump_pages_;  // which pages may have jump entries of this generation
  Range large_pages_[2];                // in the low and the high half of the address space
  Space space_;
  Sight sight_ = Sight::kSupervisor;
  u16 next_number_ = 0;
  u64 generation_ = 0;
};

}  // namespace cloister::hart
