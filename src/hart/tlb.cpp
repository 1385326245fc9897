// SPDX-License-Identifier: Apache-2.0
#include "hart/tlb.h"

#include <algorithm>

#include "base/check.h"

// A direct-mapped cache whose tags carry a number that stands for all that a translation depends on beside
// its address: the address space and the way it is looked at. So traps and switches between address spaces
// flush nothing, they change the number that accesses compare with.
//
// Whole-space fences are the same trick: the space gets a fresh number, and what the old one tagged is dead.
// Only when the numbers run out is everything cleared, once in 511 such fences.
//
// A supervisor touches its stack both with sstatus.SUM set and without, and a program's pages lie at the same
// indices as the kernel's: so user, supervisor and supervisor with SUM have a bank each.
//
// Pages larger than 4 KiB enter as 4 KiB fragments. A fence for one address must drop all fragments of its
// page; the range of addresses that hold such fragments says when that can matter at all (as programs and
// kernels use large pages in different halves, there is one range for each half).
namespace cloister::hart {

namespace {

constexpr JumpEntry kNoJump = {kNoTag, kNoTag, nullptr};
constexpr u64 kSlots = 1024;
constexpr u32 kSights = 8;                   // numbers per space
constexpr u16 kNumbers = 511;                // the last one's numbers stay unused: kNoTag's must be
constexpr u64 kBank[] = {0, 0, 1, 2, 1, 2};  // by Sight

}  // namespace

Tlb::Tlb(State& state, u32 entries)
    : state_(state),
      size_(entries),
      entries_(3 * size_, kNoEntry),
      origins_(3 * size_),
      jumps_(kJumpEntries, kNoJump),
      slots_(kSlots) {
  CHECK(entries >= 4 && entries <= 65536 && (entries & (entries - 1)) == 0);
  state_.tlb_mask = (size_ - 1) << kTlbEntryShift;
  state_.jumps = jumps_.data();
  apply();
}

void Tlb::select(Space space, Sight sight) {
  space_ = space;
  sight_ = sight;
  apply();
}

void Tlb::apply() {
  const u64 number = number_of(space_);
  state_.tlb = &entries_[kBank[static_cast<u32>(sight_)] * size_];
  state_.context = number * kSights + static_cast<u32>(sight_);
  state_.jump_tag = generation_ << kPageShift | state_.context;
}

Tlb::Slot& Tlb::slot(Space space) { return slots_[(space.asid ^ u64{space.mode} << 6) % kSlots]; }

u16 Tlb::number_of(Space space) {
  Slot& mine = slot(space);
  if (mine.used && mine.space == space) return mine.number;
  if (next_number_ == kNumbers) clear_everything();
  mine = {space, next_number_++, true};
  return mine.number;
}

void Tlb::clear_everything() {
  std::fill(entries_.begin(), entries_.end(), kNoEntry);
  std::fill(slots_.begin(), slots_.end(), Slot{});
  next_number_ = 0;
  large_pages_[0] = large_pages_[1] = Range{};
  ++generation_;
  jump_pages_.reset();
}

TlbEntry& Tlb::claim(u64 va, Origin origin, std::byte* host_page) {
  TlbEntry& entry = tlb_entry(state_, va);
  const u64 tag = tlb_tag(state_, va);
  const u64 addend = reinterpret_cast<u64>(host_page) - (va & ~kPageMask);
  const bool same =
      entry.addend == addend && (entry.read_tag == tag || entry.write_tag == tag || entry.exec_tag == tag);
  if (!same) entry = {kNoTag, kNoTag, kNoTag, addend};
  origins_[static_cast<u64>(&entry - entries_.data())] = origin;
  if (origin.page_shift > kPageShift) note_large_page(va, origin.page_shift);
  return entry;
}

Tlb::Origin Tlb::origin(u64 va) const {
  return origins_[static_cast<u64>(&tlb_entry(state_, va) - entries_.data())];
}

void Tlb::note_large_page(u64 va, u8 page_shift) {
  Range& range = large_pages_[half(va)];
  const u64 pages = u64{1} << (page_shift - kPageShift);
  const u64 first = (va >> kPageShift) & ~(pages - 1);
  range.first = std::min(range.first, first);
  range.last = std::max(range.last, first + pages - 1);
}

void Tlb::flush_all() {
  std::fill(slots_.begin(), slots_.end(), Slot{});
  large_pages_[0] = large_pages_[1] = Range{};
  apply();
}

void Tlb::flush_space(u16 asid) {
  for (Slot& one : slots_) {
    if (one.space.asid == asid) one.used = false;
  }
  apply();
}

void Tlb::flush_page(u64 va) {
  const u64 page = va & ~kPageMask;
  for (u64 bank = 0; bank < 3; ++bank) {
    TlbEntry& entry = tlb_entry(&entries_[bank * size_], state_.tlb_mask, va);
    const auto is_page = [page](u64 tag) { return (tag & ~kPageMask) == page; };
    if (is_page(entry.read_tag) || is_page(entry.write_tag) || is_page(entry.exec_tag)) entry = kNoEntry;
  }
  if (large_pages_[half(va)].contains(va >> kPageShift)) flush_large_pages(va);
  if (jump_pages_.test(jump_page(va))) flush_jumps();
}

void Tlb::flush_large_pages(u64 va) {
  for (u64 i = 0; i < entries_.size(); ++i) {
    TlbEntry& entry = entries_[i];
    const u8 shift = origins_[i].page_shift;
    const auto hits = [va, shift](u64 tag) { return tag != kNoTag && (tag ^ va) >> shift == 0; };
    if (hits(entry.read_tag) || hits(entry.write_tag) || hits(entry.exec_tag)) entry = kNoEntry;
  }
  flush_jumps();
}

void Tlb::flush_jumps() {
  ++generation_;
  jump_pages_.reset();
  apply();
}

void Tlb::clear_jumps() {
  std::fill(jumps_.begin(), jumps_.end(), kNoJump);
  flush_jumps();
}

void Tlb::forget(const memory::PageSet& pages) {
  for (u64 i = 0; i < entries_.size(); ++i) {
    if (pages.contains(origins_[i].page)) entries_[i] = kNoEntry;
  }
  flush_jumps();
}

}  // namespace cloister::hart
