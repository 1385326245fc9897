// SPDX-License-Identifier: Apache-2.0
// Guest memory: states of pages and the way of an access to its frame
//
// The frames are one mapping (frames.h); page n of the guest has place n in it. A place that was never
// written is a hole and costs nothing. But reading a hole may fill it, and lets a translation to it arise, so
// a zero page is never read there: reads go to one read-only page of zeros, and memory that was only looked
// at costs nothing either. The first write moves the page to its place.
//
// What a read, a write and giving up do to a page (kStateRules is this table):
//
//   state          a read finds                a write                        giving it up
//   kZero          the zero page               -> kPrivate, at a hole         nothing to do
//   kPrivate       its place                   there                          -> kZero, a hole again
//   kBalloonValue  the VM's balloon page       -> kPrivate, filled with it    -> kZero
//   kShared        the vault's frame (slot)    -> kPrivate, a copy            -> kZero, the frame let go
//   kCompressed    -> kPrivate, unpacked       likewise                       -> kZero, the slot let go
//   kSwapped       -> kPrivate, read back      likewise                       -> kZero, the slot let go
//   kCondition     the condition page          -> kPrivate, a copy            -> kZero
//
// Invariant: a page in a state without a frame of its own is a hole. So a page that becomes
// private reads as zeros until written, with nothing cleared, and host() never exceeds the frames.
//
// One word a page (page_word.h) says all of it, and every access goes through settle(): it brings the word
// to what the access needs by compare-and-swap and returns what it made of it. There are three ways through:
//
//   1. Nothing to change (the page was touched before): one load, without a call.
//   2. Marks, a pin, or the first write to a zero page that no holder can have mapped: one compare-and-swap,
//      no lock. This is the first touch of memory that a guest writes without reading it before. Its frame
//      comes from the stock (frame_stock.h).
//   3. The state must change, and a holder may have a translation or the content lies elsewhere: a frame is
//      got, the page is marked kChanging, shot down, filled, and moved (bring_in.cpp). Whoever finds
//      kChanging waits, with its own holders parked.
//
// Nobody ever waits for a pin. A change that finds a page pinned leaves it alone, and a zero page needs no
// pin to be read: a device that reads it during the guest's first write may see the zeros from before, as on
// any machine. What a device reads that has no frame of its own comes as a copy, which needs no pin either.
// So a thread may wait for a change while it has pins, and waits cannot form a circle.
//
// What the host does at a first write costs far more than all of the above, so it is done ahead, many pages
// at a time (first_touch.cpp).
#include "memory/guest_memory.h"

#include <algorithm>

#include "base/size.h"
#include "memory/guest_copy.h"

namespace cloister::memory {
namespace {

// Bound: the compressed store takes a third of the guest's size at most, which is all of it at a usual ratio.
// What does not fit is the swap file's.
constexpr u64 kStoreShare = 3;
constexpr u64 kHighestEnd = u64{1} << 56;  // Sv57's physical addresses have 56 bits

}  // namespace

Result<std::unique_ptr<GuestMemory>> GuestMemory::create(GuestPhys base, Bytes size) {
  if (size.raw == 0 || size.raw % kPageSize != 0) {
    return error("guest memory of {}: ask for a multiple of {}, at least one", format_size(size),
                 format_size({kPageSize}));
  }
  if (base.page_offset() != 0 || base.raw > kHighestEnd || size.raw > kHighestEnd - base.raw) {
    return error("guest memory of {} at {:#x}: begin at a page and end at or below 2^56", format_size(size),
                 base.raw);
  }
  const Pages pages{size.raw >> kPageShift};
  Frames frames = TRY(Frames::create(pages));
  const u64 words_size = pages.raw * sizeof(PageWord);
  os::Mapping words =
      TRY(os::Mapping::anonymous({(words_size + kPageMask) & ~kPageMask}, os::Protection::kReadWrite));
  auto memory =
      std::unique_ptr<GuestMemory>(new GuestMemory(base, size, std::move(frames), std::move(words)));
  memory->store_ = TRY(CompressedStore::create({pages.raw / kStoreShare}, memory->stock_));
  return memory;
}

GuestMemory::GuestMemory(GuestPhys base, Bytes size, Frames frames, os::Mapping words)
    : table_(base, size, std::move(words)), frames_(std::move(frames)) {}

GuestMemory::~GuestMemory() {
  if (store_ == nullptr) return;  // create() found no room for it
  stock_.begin_shrinking();
  stock_.put(usage().frames);
}

void GuestMemory::set_vault(const Vault& vault, VaultBooks& books) {
  vault_ = &vault;
  books_ = &books;
}

PageWord GuestMemory::settle(Gpn page, Access access, u64 marks, Pin pin) {
  for (;;) {
    if (const auto done = try_settle(page, access, marks, pin))
      return done->fresh ? fill_first(page, done->word, pin) : done->word;
    if (table_.look(page).has(PageWord::kChanging)) {
      table_.wait_for_change(page);
    } else if (!bring_in({&page, 1}, access)) {
      return PageWord::failed();
    }
  }
}

// Ways 1 and 2. Nothing when the page must be waited for.
std::optional<Settled> GuestMemory::try_settle(Gpn page, Access access, u64 marks, Pin pin) {
  for (PageWord old = table_.look(page); !old.has(PageWord::kChanging);) {
    const bool moves = state_for(access, old.state()) != old.state();
    if (moves && (needs_bringing_in(old, access) || stock_.try_take({1}) == Pages{})) return std::nullopt;
    PageWord next = (moves ? old.moved_to(PageState::kPrivate) : old).with(marks);
    if (moves || (pin == Pin::kYes && next.source() == Source::kOwnFrame)) next = next.pinned();
    if (next == old) return Settled{next};
    const PageState from = old.state();
    if (table_.word(page).compare_exchange_weak(old.raw, next.raw)) {
      table_.count_move(from, next.state());
      return Settled{next, moves};
    }
    if (moves) stock_.put({1});
  }
  return std::nullopt;
}

std::byte* GuestMemory::host_of_other(PageWord word) const {
  if (word.source() == Source::kBalloonPage) return frames_.balloon_page();
  if (word.source() == Source::kConditionPage) return frames_.condition().page();
  CHECK(word.source() == Source::kVault);
  // Nobody writes through it: every write asks first, and the mapping is read-only.
  return const_cast<std::byte*>(vault_->frame(word.slot()));
}

void GuestMemory::unpin(Gpn page, PageWord pinned, Access access) {
  if (pinned.source() != Source::kOwnFrame) return;
  // Marks may have been taken between two writes under this pin.
  constexpr u64 kChanged = PageWord::kDirty | PageWord::kWritten;
  if (access == Access::kWrite && !table_.look(page).has(kChanged)) table_.word(page).fetch_or(kChanged);
  table_.unpin(page);
}

GuestMemory::PinnedRun::PinnedRun(GuestMemory& memory, GuestPhys address, Bytes limit, Access access)
    : memory_(memory), first_(gpn_of(address)), access_(access) {
  if (access == Access::kWrite && !memory.prepare(address, limit)) return;
  while (!copy_first(address, limit) && !pin_from(address, limit)) continue;
}

// False when the first page can be read in place, or cannot be read at all.
bool GuestMemory::PinnedRun::copy_first(GuestPhys address, Bytes limit) {
  if (access_ == Access::kWrite || !has_slot(memory_.table_.look(first_).source())) return false;
  copy_ = std::make_unique_for_overwrite<PageCopy>();
  if (!memory_.peek(first_, *copy_)) return false;
  const u64 offset = address.page_offset();
  bytes_ = {copy_->bytes.data() + offset, std::min(kPageSize - offset, limit.raw)};
  return true;
}

// False when the first page has come to be shared meanwhile: then it must be copied.
bool GuestMemory::PinnedRun::pin_from(GuestPhys address, Bytes limit) {
  word_ = memory_.pin(first_, access_);
  if (word_.is_failed()) return true;
  if (word_.source() == Source::kVault) return false;
  pages_ = 1;
  const u64 most = word_.source() == Source::kOwnFrame ? PageTable::kBatch
                   : word_.source() == Source::kZeros  ? Frames::kZeroRun
                                                       : 1;
  u64 length = kPageSize - address.page_offset(), hole = most;  // where places that must be filled begin
  for (; length < limit.raw && pages_ < most; ++pages_, length += kPageSize) {
    const Gpn next{first_.raw + pages_};
    const auto found = memory_.try_settle(next, access_, marks_of(access_), Pin::kYes);
    if (!found) break;
    if (found->word.source() != word_.source()) {
      memory_.unpin(next, found->word, access_);
      break;
    }
    if (found->fresh) hole = std::min(hole, pages_);
  }
  if (hole < pages_) memory_.frames_.populate(memory_.table_.index_of(first_) + hole, {pages_ - hole});
  bytes_ = {memory_.host_of(first_, word_) + address.page_offset(), std::min(length, limit.raw)};
  return true;
}

GuestMemory::PinnedRun::~PinnedRun() {
  for (u64 i = 0; i < pages_; ++i) memory_.unpin({first_.raw + i}, word_, access_);
}

bool GuestMemory::read(GuestPhys address, std::span<std::byte> to) {
  return with_pinned(address, {to.size()}, Access::kRead, [&](std::span<const std::byte> run) {
    copy_racing(to.data(), run.data(), run.size());
    to = to.subspan(run.size());
    return true;
  });
}

bool GuestMemory::write(GuestPhys address, std::span<const std::byte> from) {
  return with_pinned(address, {from.size()}, Access::kWrite, [&](std::span<std::byte> run) {
    copy_racing(run.data(), from.data(), run.size());
    from = from.subspan(run.size());
    return true;
  });
}

bool GuestMemory::fill_zero(GuestPhys address, Bytes count) {
  if (!contains(address, count.raw)) return false;
  for (const GuestPhys end = address + count.raw; address < end;) {
    const u64 bytes = std::min(kPageSize - address.page_offset(), end - address);
    if (table_.look(gpn_of(address)).source() != Source::kZeros) {
      const PinnedPage target(*this, gpn_of(address), Access::kWrite);
      if (!target.ok()) return false;
      clear_racing(target.at<std::byte>(address), bytes);
    }
    address = address + bytes;
  }
  return true;
}

bool GuestMemory::collapse(Gpn first) {
  Pages pinned;
  while (pinned.raw < Frames::kBlock && pin_as_it_is({first.raw + pinned.raw})) pinned += Pages{1};
  const bool done = pinned.raw == Frames::kBlock && frames_.collapse(table_.index_of(first));
  for (u64 i = 0; i < pinned.raw; ++i) table_.unpin({first.raw + i});
  return done;
}

PageState GuestMemory::state(Gpn page) const {
  CHECK(table_.is_memory(page));
  return table_.look(page).state();
}

Usage GuestMemory::usage() const {
  Usage usage;
  for (int i = 0; i < kPageStates; ++i) usage.in_state[i] = table_.in_state(static_cast<PageState>(i));
  usage.store = store_->frames();
  usage.frames = usage.in_state[static_cast<int>(PageState::kPrivate)] + usage.store;
  usage.unused = stock_.stocked();
  usage.packed = {packed_.load()};
  usage.unpacked = {unpacked_.load()};
  usage.waited = Nanos{waited_.load()};
  return usage;
}

Bytes GuestMemory::host() const { return frames_.allocated() + store_->allocated(); }

void GuestMemory::check_invariants() const {
  u64 counted[kPageStates] = {};
  for (u64 i = 0; i < table_.count().raw; ++i) {
    const PageWord found = table_.look(table_.page_at(i));
    CHECK(is_live(found.state()));
    CHECK(!found.has(PageWord::kChanging) && !found.has(PageWord::kLeaving));
    CHECK(found.pins() == 0);
    CHECK(found.slot() == 0 || has_slot(found.source()));
    ++counted[static_cast<int>(found.state())];
  }
  const Usage now = usage();
  for (int i = 0; i < kPageStates; ++i) CHECK(now.in_state[i].raw == counted[i]);
  CHECK(host() <= bytes_of(now.frames));
  CHECK(store_->packed() == now.in_state[static_cast<int>(PageState::kCompressed)]);
  CHECK(swap_ == nullptr || swap_->used() == now.in_state[static_cast<int>(PageState::kSwapped)]);
  store_->check_invariants();
}

}  // namespace cloister::memory
