// SPDX-License-Identifier: Apache-2.0
#include "hart/mmu.h"

#include "base/check.h"
#include "hart/core.h"
#include "isa/csr.h"

// Translation of guest addresses when the soft TLB has no answer: the walk of the privileged manual's
// "Virtual Address Translation Process", step by step, and the filling of the soft TLB from it.
//
// A and D are set by compare-and-swap on the entry as it was read; when another hart changed the entry
// meanwhile, the walk begins again, as step 9 of the manual says. Each failure is another hart's success, and
// a guest whose harts outrun each other here delays only itself.
//
// Upper levels seldom change: the way to the last table is kept for each 2 MiB, as a processor does. A fence
// for one address orders leaf entries only, so it leaves them; all other fences drop them.
//
// The write tag is given only for a store, or when a store would find D set and a frame of its own: so the
// first store to a page always comes by here, which is what the page's D bit and the guest memory's dirty
// mark need.
namespace cloister::hart {

namespace {

namespace pte = isa::pte;
using isa::Cause;

constexpr u32 kStretchShift = kPageShift + pte::kIndexBits;

Cause page_fault(Use use) {
  constexpr Cause kCause[] = {Cause::kFetchPage, Cause::kLoadPage, Cause::kStorePage};
  return kCause[static_cast<u32>(use)];
}

Cause access_fault(Use use) {
  constexpr Cause kCause[] = {Cause::kFetchAccess, Cause::kLoadAccess, Cause::kStoreAccess};
  return kCause[static_cast<u32>(use)];
}

bool is_valid(u64 entry) {
  if ((entry & pte::kValid) == 0 || (entry & pte::kReserved) != 0) return false;
  return (entry & (pte::kRead | pte::kWrite)) != pte::kWrite;
}

// A pointer to the next table has no attributes of a page.
bool is_good_pointer(u64 entry) {
  return (entry & (pte::kUser | pte::kAccessed | pte::kDirty | pte::kMemoryType | pte::kNapot)) == 0;
}

bool is_good_leaf(u64 entry, u32 level) {
  const u64 pages = isa::PagingShape::leaf_pages(level);
  if ((pte::ppn(entry) & (pages - 1)) != 0 && level > 0) return false;
  if ((entry & pte::kMemoryType) == pte::kMemoryType) return false;
  return (entry & pte::kNapot) == 0 || (level == 0 && pte::is_napot_64k(entry));
}

bool allows_mode(const Regime& regime, u64 entry, Use use) {
  const bool user_page = (entry & pte::kUser) != 0;
  if (!regime.supervisor) return user_page;
  return !user_page || (regime.sum && use != Use::kFetch);
}

bool allows(const Regime& regime, u64 entry, Use use) {
  if (!allows_mode(regime, entry, use)) return false;
  if (use == Use::kFetch) return (entry & pte::kExecute) != 0;
  if (use == Use::kStore) return (entry & pte::kWrite) != 0;
  return (entry & pte::kRead) != 0 || (regime.mxr && (entry & pte::kExecute) != 0);
}

u64 load_entry(const std::byte* table, GuestPhys place) {
  return __atomic_load_n(reinterpret_cast<const u64*>(table + place.page_offset()), __ATOMIC_ACQUIRE);
}

Mapped mapped(u64 entry, u32 level, u64 va) {
  const bool napot = (entry & pte::kNapot) != 0;
  const u64 pages = napot ? pte::kNapotPages : isa::PagingShape::leaf_pages(level);
  const u64 inside = (va >> kPageShift) & (pages - 1);
  const u64 first = pte::ppn(entry) & ~(pages - 1);
  const u32 shift = napot ? 16 : static_cast<u32>(kPageShift + level * pte::kIndexBits);
  const bool writable = (entry & (pte::kWrite | pte::kDirty)) == (pte::kWrite | pte::kDirty);
  return {Gpn{first + inside}, static_cast<u8>(shift), writable, false};
}

}  // namespace

// nullptr when it is no memory.
const std::byte* Walker::table_at(Gpn page) {
  Table& table = tables_[page.raw % tables_.size()];
  if (table.host == nullptr || table.page != page) {
    const auto frame = memory_.frame(holder_, page, memory::Access::kRead);
    if (!frame) return nullptr;
    table = {page, frame->host};
  }
  return table.host;
}

void Walker::note_way(const Regime& regime, u64 va, GuestPhys table, const std::byte* host, bool global) {
  ways_[(va >> kStretchShift) % ways_.size()] = {regime.satp, va >> kStretchShift, table, host, global};
}

Walker::Found Walker::look_at(u64 entry, u32 level, GuestPhys place, bool global, Leaf& leaf) {
  if (!is_valid(entry) || !pte::is_leaf(entry) || !is_good_leaf(entry, level)) return Found::kPageFault;
  leaf = {entry, level, place, global || (entry & pte::kGlobal) != 0};
  return Found::kLeaf;
}

Walker::Found Walker::find_leaf(const Regime& regime, const isa::PagingShape& shape, u64 va, Leaf& leaf) {
  const Way& way = ways_[(va >> kStretchShift) % ways_.size()];
  if (way.stretch == va >> kStretchShift && way.satp == regime.satp) {
    const GuestPhys place = way.table + isa::PagingShape::index(va, 0) * pte::kEntrySize;
    return look_at(load_entry(way.host, place), 0, place, way.global, leaf);
  }
  GuestPhys table = isa::satp::root(regime.satp);
  bool global = false;
  for (u32 level = shape.levels; level-- > 0;) {
    const GuestPhys place = table + isa::PagingShape::index(va, level) * pte::kEntrySize;
    const std::byte* host = table_at(gpn_of(place));
    if (host == nullptr) return Found::kAccessFault;
    const u64 entry = load_entry(host, place);
    if (level == 0) note_way(regime, va, table, host, global);
    if (level == 0 || !is_valid(entry) || pte::is_leaf(entry))
      return look_at(entry, level, place, global, leaf);
    if (!is_good_pointer(entry)) return Found::kPageFault;
    global |= (entry & pte::kGlobal) != 0;
    table = Gpn{pte::ppn(entry)}.address();
  }
  return Found::kPageFault;
}

// False when the entry is no longer what was read.
bool Walker::mark(const Leaf& leaf, u64 bits) {
  const auto frame = memory_.frame(holder_, gpn_of(leaf.place), memory::Access::kWrite);
  if (!frame) return false;
  auto* word = reinterpret_cast<u64*>(frame->host + leaf.place.page_offset());
  u64 expected = leaf.entry;
  return __atomic_compare_exchange_n(word, &expected, leaf.entry | bits, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_ACQUIRE);
}

std::optional<Mapped> Walker::walk(const Regime& regime, u64 va, Use use, isa::Cause& fault) {
  const auto shape = isa::paging_shape(isa::satp::mode(regime.satp));
  if (!shape) return Mapped{Gpn{va >> kPageShift}, kPageShift, true};
  fault = page_fault(use);
  if (!shape->is_canonical(va)) return std::nullopt;
  for (;;) {
    Leaf leaf{};
    const Found found = find_leaf(regime, *shape, va, leaf);
    if (found == Found::kAccessFault) fault = access_fault(use);
    if (found != Found::kLeaf || !allows(regime, leaf.entry, use)) return std::nullopt;
    const u64 wanted = pte::kAccessed | (use == Use::kStore ? pte::kDirty : 0);
    if ((leaf.entry & wanted) != wanted && !mark(leaf, wanted)) continue;
    Mapped page = mapped(leaf.entry | wanted, leaf.level, va);
    page.global = leaf.global;
    return page;
  }
}

std::optional<Mapped> Walker::look(const Regime& regime, u64 va) {
  const auto shape = isa::paging_shape(isa::satp::mode(regime.satp));
  if (!shape) return Mapped{Gpn{va >> kPageShift}, kPageShift, true};
  Leaf leaf{};
  if (!shape->is_canonical(va) || find_leaf(regime, *shape, va, leaf) != Found::kLeaf) return std::nullopt;
  if (!allows(regime, leaf.entry, Use::kFetch) || (leaf.entry & pte::kAccessed) == 0) return std::nullopt;
  Mapped page = mapped(leaf.entry, leaf.level, va);
  page.global = leaf.global;
  return page;
}

namespace {

Regime regime_of(const Core& core) {
  const u64 status = core.csr.sstatus;
  return {core.csr.satp, core.state.supervisor, (status & isa::sstatus::kSum) != 0,
          (status & isa::sstatus::kMxr) != 0};
}

Sight sight_of(const Regime& regime) {
  if (!regime.supervisor) return regime.mxr ? Sight::kUserMxr : Sight::kUser;
  if (regime.sum) return regime.mxr ? Sight::kSupervisorSumMxr : Sight::kSupervisorSum;
  return regime.mxr ? Sight::kSupervisorMxr : Sight::kSupervisor;
}

void remember(State& s, u64 va, Use use, const Mapped& page, const memory::Frame& frame) {
  TlbEntry& entry = s.core->tlb.claim(va, {page.page, page.page_shift, page.global}, frame.host);
  const u64 tag = tlb_tag(s, va);
  if (use == Use::kFetch) {
    entry.exec_tag = tag;
    s.core->tlb.note_code(page.page);
    return;
  }
  // W without R is no valid entry, so what may be written may be read.
  entry.read_tag = tag;
  if (page.writable && frame.writable) entry.write_tag = tag;
}

// Where State's entry for `va` leads.
Place remembered(State& s, u64 va) {
  Place place;
  place.kind = Place::Kind::kMemory;
  place.address = s.core->tlb.origin(va).page.address() + (va & kPageMask);
  place.host = reinterpret_cast<std::byte*>(va + tlb_entry(s, va).addend);
  return place;
}

}  // namespace

std::optional<Mapped> walk(Core& core, u64 va, Use use) {
  ++core.tally.walks;
  Cause fault{};
  return core.walker.walk(regime_of(core), va, use, fault);
}

void fence_all(Core& core) {
  core.walker.forget_ways();
  core.tlb.flush_all();
}

void fence_space(Core& core, u16 asid) {
  core.walker.forget_ways();
  core.tlb.flush_space(asid);
}

void refresh_context(Core& core) {
  const Regime regime = regime_of(core);
  const u8 mode = static_cast<u8>(isa::satp::mode(regime.satp));
  const u16 asid = mode == isa::satp::kBare ? u16{0} : static_cast<u16>(isa::satp::asid(regime.satp));
  core.tlb.select({mode, asid}, sight_of(regime));
}

namespace {

enum class Clear : bool { kNo, kYes };  // a page without a frame, which then needs none

// Past the soft TLB.
Place locate_by_walk(State& s, u64 va, Use use, Clear clear = Clear::kNo) {
  Core& core = *s.core;
  Place place;
  core.tlb.note_walk();
  ++core.tally.walks;
  const auto page = core.walker.walk(regime_of(core), va, use, place.fault);
  if (!page) return place;
  place.address = page->page.address() + (va & kPageMask);
  if (clear == Clear::kYes && core.memory.clear_without_frame(core.holder, page->page)) {
    place.kind = Place::Kind::kMemory;
    return place;
  }
  const auto access = use == Use::kStore ? memory::Access::kWrite : memory::Access::kRead;
  const auto frame = core.memory.frame(core.holder, page->page, access);
  if (frame) {
    remember(s, va, use, *page, *frame);
    place.kind = Place::Kind::kMemory;
    place.host = frame->host + (va & kPageMask);
  } else if (use == Use::kFetch) {
    place.fault = Cause::kFetchAccess;
  } else {
    place.kind = Place::Kind::kDevice;
  }
  return place;
}

}  // namespace

Place locate(State& s, u64 va, Use use) {
  return s.core->tlb.recall(va, use) ? remembered(s, va) : locate_by_walk(s, va, use);
}

std::optional<Gpn> look_for_code(State& s, u64 va) {
  Core& core = *s.core;
  if (core.tlb.recall(va, Use::kFetch)) return core.tlb.origin(va).page;
  ++core.tally.walks;
  const auto page = core.walker.look(regime_of(core), va);
  if (!page) return std::nullopt;
  const auto frame = core.memory.frame(core.holder, page->page, memory::Access::kRead);
  if (!frame) return std::nullopt;
  remember(s, va, Use::kFetch, *page, *frame);
  return page->page;
}

Place locate_to_clear(State& s, u64 va) {
  if (s.core->tlb.recall(va, Use::kStore)) return remembered(s, va);
  return locate_by_walk(s, va, Use::kStore, Clear::kYes);
}

}  // namespace cloister::hart
