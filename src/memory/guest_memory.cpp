// SPDX-License-Identifier: Apache-2.0
// Guest memory: states of pages and the way of an access to its frame
//
// The frames are one memory file (memfd), mapped once; page n of the guest has place n in it. A place that
// was never written is a hole and costs nothing. But reading a hole through a mapping fills it, so a zero
// page is never read there: reads go to one read-only page of zeros, and memory that was only looked at
// costs nothing either. The first write moves the page to its place in the file.
//
// What a read, a write and giving up do to a page (kStateRules holds the rows of the states that are live):
//
//   state          a read finds                a write                        giving it up
//   kZero          the zero page               -> kPrivate, at a hole         nothing to do
//   kPrivate       its place in the file       there                          -> kZero, a hole again
//   kBalloonValue  the VM's balloon page       -> kPrivate, filled with it    -> kZero
//   kShared        the shared frame (slot)     -> kPrivate, a copy            -> kZero, the frame let go
//   kCompressed    -> kPrivate, unpacked       likewise                       -> kZero, the slot let go
//   kSwapped       -> kPrivate, read back      likewise                       -> kZero, the slot let go
//
// Invariant: a page in a state without a frame of its own is a hole in the file. So a page that becomes
// private reads as zeros until written, with nothing cleared, and usage().host never exceeds the private
// pages.
//
// One word a page (page_word.h) says all of it, and every access goes through settle(): it brings the word
// to what the access needs by compare-and-swap and returns what it made of it. There are three ways through:
//
//   1. Nothing to change (the page was touched before): one load, without a call.
//   2. Marks, a pin, or the first write to a zero page that no holder can have mapped: one compare-and-swap,
//      no lock. This is the first touch of memory that a guest writes without reading it before.
//   3. The state must change and a holder may have a translation (kHeld): the page is marked kChanging, shot
//      down, moved (page_changes.cpp). Whoever finds kChanging waits, with its own holders parked.
//
// Nobody ever waits for a pin. A change that finds a page pinned leaves it alone, and a zero page needs no
// pin to be read: a device that reads it during the guest's first write may see the zeros from before, as on
// any machine. So a thread may wait for a change while it has pins, and waits cannot form a circle.
//
// What the host does at a first write costs far more than all of the above: 4 us a page against 16 ns
// (bench/memory, in a nested virtual machine; an anonymous page: 2.7 us). Tried against it and left out:
// populating 16 or 512 neighbours at once (MADV_POPULATE_WRITE, 3 us a page, so a quarter off, for memory
// that nobody asked for), and the host's huge pages, which hosts refuse to memory files by default and whose
// parts come back only when its kernel can split them.
#include "memory/guest_memory.h"

#include <algorithm>

#include "base/size.h"
#include "memory/guest_copy.h"

namespace cloister::memory {
namespace {

constexpr u64 kHighestEnd = u64{1} << 56;  // Sv57's physical addresses have 56 bits
constexpr u64 kZeroRun = 64;               // pages of zeros in a row: how long a run of zero pages may be

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
  os::MemFile file = TRY(os::MemFile::create("guest-memory", size));
  os::Mapping frames = TRY(file.map(os::Protection::kReadWrite));
  os::Mapping zeros = TRY(os::Mapping::anonymous({kZeroRun * kPageSize}, os::Protection::kRead));
  const u64 words_size = (size.raw >> kPageShift) * sizeof(PageWord);
  os::Mapping words =
      TRY(os::Mapping::anonymous({(words_size + kPageMask) & ~kPageMask}, os::Protection::kReadWrite));
  Parts parts{std::move(file), std::move(frames), std::move(zeros), std::move(words)};
  return std::unique_ptr<GuestMemory>(new GuestMemory(base, size, std::move(parts)));
}

GuestMemory::GuestMemory(GuestPhys base, Bytes size, Parts parts)
    : base_(base), size_(size), parts_(std::move(parts)) {
  parts_.frames.allow_huge_pages(false);
}

PageWord GuestMemory::settle(Gpn page, Access access, u64 marks, Pin pin) {
  std::atomic<u64>& word = this->word(page);
  for (;;) {
    PageWord old{word.load()};
    if (old.has(PageWord::kChanging)) {
      holders_.wait_until([&] { return !PageWord{word.load()}.has(PageWord::kChanging); });
      continue;
    }
    const PageState state = access == Access::kRead ? old.state() : rule_of(old.state()).after_write;
    if (state != old.state() && old.has(PageWord::kHeld)) {
      own_held_zero_pages(page.address(), {1});
      continue;
    }
    PageWord next = old.moved_to(state).with(marks);
    if (pin == Pin::kYes && next.source() == Source::kOwnFrame) next = next.pinned();
    if (next == old) return next;
    if (!word.compare_exchange_weak(old.raw, next.raw)) continue;
    count_move(old.state(), state);
    return next;
  }
}

void GuestMemory::unpin(Gpn page, PageWord pinned, Access access) {
  if (pinned.source() != Source::kOwnFrame) return;
  std::atomic<u64>& word = this->word(page);
  // take_dirty() may have come between two writes under this pin.
  if (access == Access::kWrite && !PageWord{word.load()}.has(PageWord::kDirty))
    word.fetch_or(PageWord::kDirty);
  word.fetch_sub(PageWord::kOnePin);
}

void GuestMemory::count_move(PageState from, PageState to) {
  if (from == to) return;
  // Out of the old state first: the sum of the counts never exceeds the pages there are.
  if (from != PageState::kZero) in_state_[static_cast<int>(from)].fetch_sub(1);
  if (to != PageState::kZero) in_state_[static_cast<int>(to)].fetch_add(1);
}

GuestMemory::PinnedRun::PinnedRun(GuestMemory& memory, GuestPhys address, Bytes limit, Access access)
    : memory_(memory), first_(gpn_of(address)), access_(access), word_(memory.pin(first_, access)) {
  const u64 most = word_.source() == Source::kZeros ? kZeroRun : UINT64_MAX;
  u64 length = kPageSize - address.page_offset();
  for (; length < limit.raw && pages_ < most; ++pages_, length += kPageSize) {
    const Gpn next{first_.raw + pages_};
    const PageWord word = memory.pin(next, access);
    if (word.source() == word_.source()) continue;
    memory.unpin(next, word, access);
    break;
  }
  bytes_ = {memory.host_of(first_, word_) + address.page_offset(), std::min(length, limit.raw)};
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
    if (const Gpn page = gpn_of(address); PinnedPage(*this, page, Access::kRead).is_zeros() == false) {
      const PinnedPage target(*this, page, Access::kWrite);
      clear_racing(target.at<std::byte>(address), bytes);
    }
    address = address + bytes;
  }
  return true;
}

PageState GuestMemory::state(Gpn page) const {
  CHECK(is_memory(page));
  return PageWord{word(page).load()}.state();
}

GuestMemory::Usage GuestMemory::usage() const {
  Usage usage;
  Pages elsewhere;
  for (int i = 0; i < kPageStates; ++i) {
    usage.in_state[i] = {in_state_[i].load()};
    elsewhere += usage.in_state[i];
  }
  usage.in_state[static_cast<int>(PageState::kZero)] = page_count() - elsewhere;
  usage.host = parts_.file.allocated();
  return usage;
}

void GuestMemory::check_invariants() const {
  u64 counted[kPageStates] = {};
  for (u64 i = 0; i < page_count().raw; ++i) {
    const PageWord found{word({base_.page() + i}).load()};
    CHECK(is_live(found.state()));
    CHECK(!found.has(PageWord::kChanging));
    CHECK(found.pins() == 0);
    CHECK(found.slot() == 0);
    ++counted[static_cast<int>(found.state())];
  }
  const Usage now = usage();
  for (int i = 0; i < kPageStates; ++i) CHECK(now.in_state[i].raw == counted[i]);
  CHECK(now.host <= bytes_of(now.in_state[static_cast<int>(PageState::kPrivate)]));
}

}  // namespace cloister::memory
