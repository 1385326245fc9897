// SPDX-License-Identifier: Apache-2.0
#include "hart/tlb.h"

#include <algorithm>

#include "base/check.h"
#include "isa/pte.h"

// A cache whose tags carry a number that stands for all that a translation depends on beside its address: the
// address space and the way it is looked at. So traps and switches between address spaces flush nothing, they
// change the number that accesses compare with.
//
// Whole-space fences are the same trick: the space gets a fresh number, and what the old one tagged is dead.
// Only when the numbers run out is everything cleared, once in some 500 such fences.
//
// Accesses look at one bank, direct-mapped, for that is what can be inline. What makes it miss seldom:
//
//   - Banks. A supervisor touches its stack both with sstatus.SUM set and without, and a program's pages lie
//     at the same indices as the kernel's and as those of the next program: so there are four banks for user
//     mode, taken by ASID, one for the supervisor and one for the supervisor with SUM.
//   - Victims. An entry that loses its place goes to a small set-associative cache, and is taken back from
//     there for a fifth of a walk: two pages that want one place cost little.
//   - Kernels map themselves as global pages. Without SUM a supervisor sees nothing else (but for pages of
//   its
//     own in one space, which Linux has none of), so all spaces share one number there, and a switch between
//     programs keeps the kernel's entries and jumps. When a page turns up that is not global, the number
//     holds for its space only, and is renewed at the next switch.
//   - Jumps are forgotten by sets: the supervisor's, and one for each of a few address spaces in user mode.
//     A fence for one address ends those of the sets only that lead to its page, so that the page faults of a
//     new program leave the kernel's jumps, and its parent's, alone.
//   - With SUM a page is first looked for among the entries of user mode and the supervisor.
//   - A bank of user mode grows when its program's walks say that it is too small.
//
// Pages larger than 4 KiB enter as 4 KiB fragments. A fence for one address must drop all fragments of its
// page; hashed sets of the large pages that have any say when that can matter at all.
namespace cloister::hart {

namespace {

// No jump_tag is 0: generations begin at 1.
constexpr JumpEntry kNoJump = {};
constexpr u64 kSlots = 1024;
constexpr u32 kSights = 8;     // numbers per space
constexpr u16 kNumbers = 511;  // the last one's numbers stay unused: kNoTag's must be

constexpr u64 kModes[] = {isa::satp::kBare, isa::kSv39.satp_mode, isa::kSv48.satp_mode, isa::kSv57.satp_mode};

u64 tag_of(u64 va, u16 number, Sight sight) {
  return (va & ~kPageMask) | (u64{number} * kSights + static_cast<u32>(sight));
}

// Jumps hit entries all over the table, so that it is one page of the host's TLB saves more than its own
// look-ups.
std::span<JumpEntry> make_jumps(os::Mapping& memory) {
  auto made = os::Mapping::anonymous(Bytes{kJumpEntries * sizeof(JumpEntry)}, os::Protection::kReadWrite);
  CHECK(made.ok());  // 2 MiB of address space
  memory = made.take();
  memory.allow_huge_pages(true);
  return {reinterpret_cast<JumpEntry*>(memory.data()), kJumpEntries};
}

}  // namespace

Tlb::Tlb(State& state, u32 entries)
    : state_(state),
      banks_(kBanks, TlbBank(entries)),
      victims_(entries),
      slots_(kSlots),
      jump_sets_(kUserJumpSets + 1) {
  CHECK(entries >= 4 && entries <= kMostEntries && (entries & (entries - 1)) == 0);
  jumps_ = make_jumps(jumps_memory_);
  state_.jumps = jumps_.data();
  state_.returns = return_stack_->top;
  find_numbers();
  apply();
}

// -- Contexts ---------------------------------------------------------------------------------------------

void Tlb::select(Space space, Sight sight) {
  sight_ = sight;
  if (space != space_) {
    if (has_local_) shared_slots_[space_.mode].era = 0;
    has_local_ = false;
    space_ = space;
    find_numbers();
  }
  apply();
}

void Tlb::apply() {
  ++state_.renewals;
  const bool sum = sight_ == Sight::kSupervisorSum || sight_ == Sight::kSupervisorSumMxr;
  const bool plain = is_supervisor() && !sum;
  bank_ = plain ? kSupervisorBank : sum ? kSumBank : space_.asid % kUserBanks;
  state_.tlb = bank().data();
  state_.tlb_mask = bank().mask();
  state_.context = (plain ? supervisor_number_ : number_) * kSights + static_cast<u32>(sight_);
  // What may be executed depends on the privilege alone.
  const u32 code = is_supervisor() ? supervisor_number_ * kSights + 1 : number_ * kSights;
  jump_set_ = &jump_set();
  state_.jump_tag = jump_set_->generation << kPageShift | code;
  select_returns();
}

void Tlb::select_returns() {
  ReturnStack& stack = returns_[is_supervisor() ? 1 : 0];
  if (return_stack_ != &stack) {
    return_stack_->top = state_.returns;
    return_stack_ = &stack;
    state_.returns = stack.top;
  }
  if (stack.tag != state_.jump_tag || stack.epoch != state_.epoch) stack.begin(state_.jump_tag, state_.epoch);
}

Tlb::JumpSet& Tlb::jump_set() {
  const u16 number = is_supervisor() ? supervisor_number_ : number_;
  JumpSet& set = jump_sets_[is_supervisor() ? kUserJumpSets : number_ % kUserJumpSets];
  if (set.number != number) {
    set.number = number;
    begin_anew(set);
  }
  return set;
}

void Tlb::renew(JumpSet& set) {
  if (generations_ + 1 == kMostGenerations) {
    std::fill(jumps_.begin(), jumps_.end(), kNoJump);
    ++state_.epoch;  // no tag of before is one of now
    generations_ = 0;
    return renew_all();
  }
  set.generation = ++generations_;
}

void Tlb::begin_anew(JumpSet& set) {
  set.pages.reset();
  renew(set);
}

void Tlb::renew_all() {
  for (JumpSet& set : jump_sets_) renew(set);
}

Tlb::Slot& Tlb::slot(Space space) {
  if (space.shared) return shared_slots_[space.mode];
  return slots_[(space.asid ^ u64{space.mode} << 6) % kSlots];
}

u16 Tlb::number_of(Space space) {
  Slot& mine = slot(space);
  if (mine.era == era_ && mine.space == space) return mine.number;
  mine = {space, next_number_++, era_};
  return mine.number;
}

void Tlb::find_numbers() {
  if (next_number_ + 2 > kNumbers) clear_everything();
  number_ = number_of(space_);
  supervisor_number_ = space_.mode == 0 ? number_ : number_of({space_.mode, 0, true});
}

void Tlb::clear_everything() {
  drop_if([](const TlbEntry&, const Origin&) { return true; });
  for (auto& pages : large_pages_) pages.reset();
  ++era_;
  next_number_ = 0;
  has_local_ = false;
  renew_all();
}

// -- Entries ----------------------------------------------------------------------------------------------

bool Tlb::recall(u64 va, Use use) {
  const u64 tag = tlb_tag(state_, va);
  if (tag_for(tlb_entry(state_, va), use) == tag) return true;
  const auto found = victims_.take(tag, use);
  if (!found) return sight_ == Sight::kSupervisorSum && borrow(va, use);
  claim(va, found->origin, reinterpret_cast<std::byte*>(found->entry.addend + (va & ~kPageMask))) =
      found->entry;
  return true;
}

// For the supervisor with SUM: pages that are known to user mode or to the supervisor without it.
bool Tlb::borrow(u64 va, Use use) {
  if (use == Use::kFetch) return false;
  const auto borrow_from = [&](TlbBank& bank, u64 tag) {
    const TlbEntry from = bank.entry(va);
    if (tag_for(from, use) != tag) return false;
    auto* const host_page = reinterpret_cast<std::byte*>(from.addend + (va & ~kPageMask));
    TlbEntry& to = claim(va, bank.origin(va), host_page);
    if (from.read_tag == tag) to.read_tag = tlb_tag(state_, va);
    if (from.write_tag == tag) to.write_tag = tlb_tag(state_, va);
    return true;
  };
  return borrow_from(banks_[kSupervisorBank], tag_of(va, supervisor_number_, Sight::kSupervisor)) ||
         borrow_from(user_bank(), tag_of(va, number_, Sight::kUser));
}

TlbEntry& Tlb::claim(u64 va, const Origin& origin, std::byte* host_page) {
  TlbEntry& entry = tlb_entry(state_, va);
  const u64 tag = tlb_tag(state_, va);
  const u64 addend = reinterpret_cast<u64>(host_page) - (va & ~kPageMask);
  const bool same =
      entry.addend == addend && (entry.read_tag == tag || entry.write_tag == tag || entry.exec_tag == tag);
  if (!same) {
    victims_.put({entry, this->origin(va)});
    entry = {kNoTag, kNoTag, kNoTag, addend};
  }
  bank().origin(va) = origin;
  if (origin.page_shift > kPageShift) note_large_page(va, origin.page_shift);
  has_local_ |= bank_ == kSupervisorBank && !origin.global && space_.mode != 0;
  return entry;
}

// Eight walks for each entry: the program's pages do not fit. Larger banks are slower to empty, so they stop
// where the host's own TLB has long given up.
void Tlb::note_walk() {
  if (bank_ >= kUserBanks || ++walks_[bank_] < 8 * bank().size() || bank().size() >= kMostEntries) return;
  walks_[bank_] = 0;
  if (bank().size() < 256) return;  // somebody wants it small
  bank().resize(2 * bank().size());
  apply();
}

template <typename Condition>
void Tlb::drop_if(Condition&& condition) {
  for (TlbBank& each : banks_) each.drop_if(condition);
  victims_.drop_if(condition);
}

// -- Large pages ------------------------------------------------------------------------------------------

void Tlb::note_large_page(u64 va, u8 page_shift) {
  for (u64 i = 0; i < kLargeShifts.size(); ++i) {
    if (kLargeShifts[i] == page_shift) large_pages_[i].set(large_page(va, page_shift));
  }
}

// A kernel that uses huge pages fences each that it maps: only where its fragments can be is looked at.
void Tlb::flush_large_page(u64 va, u8 page_shift) {
  const u64 pages = u64{1} << (page_shift - kPageShift);
  const u64 first = (va >> kPageShift) & ~(pages - 1);
  const auto of_the_page = [&](const TlbEntry& entry, const Origin& origin) {
    return origin.page_shift == page_shift &&
           has_tag(entry, [&](u64 tag) { return (tag ^ va) >> page_shift == 0; });
  };
  for (TlbBank& each : banks_) each.drop_if(first, pages, of_the_page);
  victims_.drop_if(first, pages, of_the_page);
  for (JumpSet& set : jump_sets_) {
    if (leads_to(set, va & ~(kPageSize * pages - 1), pages)) begin_anew(set);
  }
}

// Whether one of so many pages from `va` on may have jump entries.
bool Tlb::leads_to(const JumpSet& set, u64 va, u64 pages) {
  if (pages > kJumpPages / 2) return true;
  for (u64 i = 0; i < pages; ++i) {
    if (set.pages.test(jump_page(va + i * kPageSize))) return true;
  }
  return false;
}

// -- Fences -----------------------------------------------------------------------------------------------

void Tlb::flush_all() {
  ++era_;
  for (auto& pages : large_pages_) pages.reset();
  has_local_ = false;
  find_numbers();
  apply();
}

// Global pages stay.
void Tlb::flush_space(u16 asid) {
  for (const u64 mode : kModes) {
    const Space space{static_cast<u8>(mode), asid};
    if (slot(space).space == space) slot(space).era = 0;
  }
  if (has_local_) shared_slots_[space_.mode].era = 0;
  has_local_ = false;
  find_numbers();
  apply();
}

void Tlb::flush_page(u64 va) {
  for (TlbBank& each : banks_) each.drop_page(va);
  victims_.drop_page(va);
  for (u64 i = 0; i < kLargeShifts.size(); ++i) {
    if (large_pages_[i].test(large_page(va, kLargeShifts[i]))) flush_large_page(va, kLargeShifts[i]);
  }
  for (JumpSet& set : jump_sets_) {
    if (set.pages.test(jump_page(va))) begin_anew(set);
  }
  apply();
}

void Tlb::flush_jumps() {
  renew_all();
  apply();
}

void Tlb::clear_jumps() {
  std::fill(jumps_.begin(), jumps_.end(), kNoJump);
  flush_jumps();
}

bool Tlb::forget(const memory::PageSet& pages) {
  ++state_.renewals;
  drop_if([&pages](const TlbEntry&, const Origin& origin) { return pages.contains(origin.page); });
  const bool code = code_.take(pages);
  if (code) flush_jumps();
  return code;
}

}  // namespace cloister::hart
