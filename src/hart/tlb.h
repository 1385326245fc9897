// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <bitset>
#include <span>
#include <vector>

#include "base/os/mapping.h"
#include "base/units.h"
#include "hart/code_pages.h"
#include "hart/return_stack.h"
#include "hart/state.h"
#include "hart/tlb_bank.h"
#include "memory/page_set.h"

namespace cloister::hart {

// An address space: what satp's MODE and ASID name.
struct Space {
  u8 mode = 0;  // 0: bare
  u16 asid = 0;
  bool shared = false;  // what all spaces of this mode have in common: the supervisor's global pages
  bool operator==(const Space&) const = default;
};

// How an address space is looked at: privilege, sstatus.SUM and MXR.
enum class Sight : u8 { kUser, kUserMxr, kSupervisor, kSupervisorSum, kSupervisorMxr, kSupervisorSumMxr };

// A hart's cached translations: of pages to host memory (the soft TLB), and, by way of State::jump_tag, of
// virtual addresses to decoded blocks. The owner's thread only.
//
// Invariant: a cached translation is reachable only while no fence has asked for its end. Translated code
// that keeps one beside this compares State::renewals.
class Tlb {
 public:
  // Bound: `entries` is a power of two from 4 to 16384, for each of the banks at first.
  Tlb(State& state, u32 entries);

  // Makes `space`, seen in the way of `sight`, the context of State's accesses.
  void select(Space space, Sight sight);

  // Whether State's entry for `va` allows `use` now, after a look for it where accesses do not look.
  bool recall(u64 va, Use use);
  // State's entry for the page of `va`, emptied if it was another page's.
  TlbEntry& claim(u64 va, const Origin& origin, std::byte* host_page);
  // A page table was walked for State's accesses: a bank that is too small for its program grows.
  void note_walk();
  const Origin& origin(u64 va) { return bank().origin(va); }  // of State's entry for `va`

  // A translation to `page` for fetching is being made.
  void note_code(Gpn page) { code_.add(page); }
  // A jump entry for code in the page of `va` is being made.
  void note_jump(u64 va) { jump_set_->pages.set(jump_page(va)); }

  // sfence.vma's forms. Those with an address drop it in all address spaces.
  void flush_all();
  void flush_space(u16 asid);
  void flush_page(u64 va);

  // The blocks that jumps lead to may no longer be valid.
  void flush_jumps();
  // The blocks are no more.
  void clear_jumps();
  // The epoch is another one: what calls would come back to may have changed.
  void end_epoch() { select_returns(); }
  // Drops the translations to `pages`. Whether code may lie there; then no jump leads anywhere any more.
  bool forget(const memory::PageSet& pages);

 private:
  // More than a program has pages of code, in each half of the address space, so that a fence for data seldom
  // hits one by chance.
  static constexpr u64 kJumpPages = 32768;

  struct Slot {
    Space space;
    u16 number = 0;
    u32 era = 0;  // valid in this one only
  };

  // What jump entries of one privilege in one address space have in common.
  struct JumpSet {
    u16 number = 0xffff;            // of the space
    u32 generation = 0;             // valid in this one only
    std::bitset<kJumpPages> pages;  // which may have entries
  };

  static constexpr u64 kUserJumpSets = 8;
  // Bound: as many as State::jump_tag has room for above a context's number; then all jumps are cleared.
  static constexpr u32 kMostGenerations = 1u << (32 - kPageShift);
  static constexpr u64 kUserBanks = 4;
  static constexpr u64 kSupervisorBank = kUserBanks;
  static constexpr u64 kSumBank = kUserBanks + 1;
  static constexpr u64 kBanks = kUserBanks + 2;
  static constexpr u64 kMostEntries = 16384;
  // By page size above 4 KiB: 64 KiB, 2 MiB, 1 GiB, 512 GiB, 256 TiB.
  static constexpr std::array<u8, 5> kLargeShifts = {16, 21, 30, 39, 48};
  static constexpr u64 kLargePages = 4096;

  // By the half of the address space too: programs and kernels use large pages at different places.
  static u64 large_page(u64 va, u8 shift) { return (va >> shift) % (kLargePages / 2) * 2 + (va >> 63); }
  static u64 jump_page(u64 va) { return (va >> kPageShift) % (kJumpPages / 2) * 2 + (va >> 63); }
  TlbBank& bank() { return banks_[bank_]; }
  TlbBank& user_bank() { return banks_[space_.asid % kUserBanks]; }
  bool is_supervisor() const { return sight_ != Sight::kUser && sight_ != Sight::kUserMxr; }
  JumpSet& jump_set();
  // Whoever runs goes on where he is, and may call from there: so all pages still count.
  void renew(JumpSet& set);
  // After a fence, behind which all jumps are looked for again.
  void begin_anew(JumpSet& set);
  static bool leads_to(const JumpSet& set, u64 va, u64 pages);
  void renew_all();
  Slot& slot(Space space);
  u16 number_of(Space space);
  void find_numbers();
  void apply();
  void select_returns();
  void clear_everything();
  bool borrow(u64 va, Use use);
  void note_large_page(u64 va, u8 page_shift);
  void flush_large_page(u64 va, u8 page_shift);
  template <typename Condition>
  void drop_if(Condition&& condition);

  State& state_;
  std::vector<TlbBank> banks_;  // by address space for user mode; supervisor; supervisor with SUM
  TlbVictims victims_;
  u64 bank_ = 0;
  u64 walks_[kBanks] = {};  // since the bank had its size
  CodePages code_;
  os::Mapping jumps_memory_;
  std::span<JumpEntry> jumps_;
  std::vector<Slot> slots_;
  std::array<Slot, 16> shared_slots_;  // by mode
  u32 era_ = 1;
  std::vector<JumpSet> jump_sets_;  // user mode's by the space's number, and the supervisor's
  JumpSet* jump_set_ = nullptr;     // of the context
  std::array<std::bitset<kLargePages>, kLargeShifts.size()> large_pages_;  // which may have entries
  std::array<ReturnStack, 2> returns_;                                     // user mode's, the supervisor's
  ReturnStack* return_stack_ = returns_.data();                            // of the context
  Space space_;
  Sight sight_ = Sight::kSupervisor;
  u16 number_ = 0;             // of space_
  u16 supervisor_number_ = 0;  // of what the supervisor sees in it without SUM
  bool has_local_ = false;     // entries under the shared number that hold for space_ only
  u16 next_number_ = 0;
  u32 generations_ = 0;  // that there were since all jumps were cleared
};

}  // namespace cloister::hart
