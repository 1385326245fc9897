// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <type_traits>
#include <vector>

#include "base/os/mapping.h"
#include "base/os/mem_file.h"
#include "base/result.h"
#include "base/units.h"
#include "memory/holders.h"
#include "memory/page_set.h"
#include "memory/page_word.h"

// The one door to a guest's memory (docs/architecture.md, invariants 1 and 2).
//
// Who uses frames, and when a page may change
//
// Harts keep translations to frames in soft TLBs from one safe point to the next, without a lock. A
// change of a page (its frame, its protection, its state) therefore is a *shootdown*: the page is put
// to every holder's mailbox, every holder is asked for a safe point, and the change happens only after
// each has forgotten the page there or is parked (WFI, stopped, in the host). A parked holder empties its
// mailbox before it uses a frame again. Devices do not hold translations: they pin pages for one operation,
// and a page that is pinned does not change.
//
// A call that has to change a page may wait for the harts. So a hart leaves before it blocks on
// anything else: a device's lock, a call into the host, a sleep. The thread that waits may itself have
// entered holders: they count as parked until the call is done.
namespace cloister::memory {

// Where a page is now. Valid until the holder's next safe point. Not writable: a write must ask again
// with Access::kWrite (the first write makes a frame, or marks the page dirty).
struct Frame {
  std::byte* host = nullptr;
  bool writable = false;
};

class GuestMemory {
 public:
  using HolderId = Holders::Id;

  // `size` bytes of zero pages from `base`. Costs no frame until written.
  // Refused: a size of 0 or not a multiple of the page, a base that is not, a base + size over 2^56, no
  // address space.
  static Result<std::unique_ptr<GuestMemory>> create(GuestPhys base, Bytes size);
  GuestMemory(const GuestMemory&) = delete;
  GuestMemory& operator=(const GuestMemory&) = delete;

  GuestPhys base() const { return base_; }
  Bytes size() const { return size_; }
  bool contains(GuestPhys address, u64 bytes) const {
    return address >= base_ && bytes <= size_.raw && address - base_ <= size_.raw - bytes;
  }

  // -- Holders (harts) -----------------------------------------------------------------------------

  HolderId attach(TlbHolder& holder) { return holders_.attach(holder); }  // parked
  void detach(HolderId id) { holders_.detach(id); }                       // Precondition: parked

  // From enter() to leave() the holder may use frames; its thread must come to safe_point() in bounded time
  // whenever it was asked to.
  void enter(HolderId id) { holders_.enter(id); }
  void safe_point(HolderId id) { holders_.safe_point(id); }
  void leave(HolderId id) { holders_.leave(id); }

  // The frame behind a page, with the page's touched (and for kWrite, dirty) mark set; nothing when
  // `page` is no memory. Is itself a safe point when the page must change first, so the caller
  // keeps no other Frame across it. Precondition: between enter(id) and leave(id).
  std::optional<Frame> frame(HolderId id, Gpn page, Access access) {
    DCHECK(holders_.entered_here(id));
    (void)id;
    if (!is_memory(page)) return std::nullopt;
    const u64 marks = marks_of(access) | PageWord::kHeld;
    PageWord found{word(page).load()};
    if (!found.is_settled_private(marks)) found = settle(page, access, marks, Pin::kNo);
    // A page that is dirty already has no first write to be told of.
    return Frame{host_of(page, found), found.source() == Source::kOwnFrame && found.has(PageWord::kDirty)};
  }

  // -- Devices, SBI, loaders: any thread that is not between enter() and leave(), or a hart between
  //    two guest instructions. Each returns false, with nothing done, when a byte of the range is no memory.

  bool read(GuestPhys address, std::span<std::byte> to);
  bool write(GuestPhys address, std::span<const std::byte> from);
  bool fill_zero(GuestPhys address, Bytes count);  // pages that are zero anyway stay without a frame

  // Calls use(run), a std::span<std::byte>, for each contiguous run of the range in order, its pages pinned
  // for the time of the call, so that pread() and pwrite() may work in place. With kRead the run must not be
  // written. Stops when `use` returns false, and returns false then too.
  template <typename Use>
  bool with_pinned(GuestPhys address, Bytes count, Access access, Use&& use) {
    if (!contains(address, count.raw)) return false;
    if (access == Access::kWrite) own_held_zero_pages(address, count);
    for (u64 done = 0; done < count.raw;) {
      const PinnedRun run(*this, address + done, {count.raw - done}, access);
      if (!use(run.bytes())) return false;
      done += run.bytes().size();
    }
    return true;
  }

  // One naturally aligned 1-, 2-, 4- or 8-byte access, single-copy atomic; acquire and release order.
  // For rings and futex-like words that harts change meanwhile. Misaligned is like no memory.
  template <typename T>
  std::optional<T> load(GuestPhys address) {
    static_assert(std::is_integral_v<T>);
    if (!contains(address, sizeof(T)) || address.raw % sizeof(T) != 0) return std::nullopt;
    const PinnedPage page(*this, gpn_of(address), Access::kRead);
    return std::atomic_ref<T>(*page.template at<T>(address)).load(std::memory_order_acquire);
  }
  template <typename T>
  bool store(GuestPhys address, T value) {
    static_assert(std::is_integral_v<T>);
    if (!contains(address, sizeof(T)) || address.raw % sizeof(T) != 0) return false;
    const PinnedPage page(*this, gpn_of(address), Access::kWrite);
    std::atomic_ref<T>(*page.template at<T>(address)).store(value, std::memory_order_release);
    return true;
  }

  // -- Page states ---------------------------------------------------------------------------------

  // Gives up pages whose content is no longer wanted: they read as zeros and their frames go back to
  // the host. Left as they are: pages that are pinned or that somebody else changes right now, and
  // what is no memory; any order, duplicates allowed. Returns how many were given up. Must not be called by
  // a holder between enter() and leave().
  Pages discard(std::span<const Gpn> pages);

  PageState state(Gpn page) const;  // Precondition: `page` is memory

  struct Usage {
    Pages in_state[kPageStates];  // sums to size()
    Bytes host;                   // what the host's kernel says that the memory file holds now
  };
  Usage usage() const;

  // Dirty and touched marks since the last take_*: for sampling, migration and swap. The marks of the pages
  // in the set are cleared and the pages shot down, so that the next touch is seen. What is no memory has no
  // marks.
  std::vector<bool> take_touched(std::span<const Gpn> pages);
  std::vector<bool> take_dirty(std::span<const Gpn> pages);

  // CHECKs all that must hold of words, counts and the memory file. Precondition: nobody uses the memory
  // meanwhile.
  void check_invariants() const;

 private:
  // One page kept from changing for a scope, ready for `access`.
  class PinnedPage {
   public:
    PinnedPage(GuestMemory& memory, Gpn page, Access access)
        : memory_(memory), page_(page), access_(access), word_(memory.pin(page, access)) {}
    ~PinnedPage() { memory_.unpin(page_, word_, access_); }
    PinnedPage(const PinnedPage&) = delete;
    PinnedPage& operator=(const PinnedPage&) = delete;

    bool is_zeros() const { return word_.source() == Source::kZeros; }
    std::byte* host() const { return memory_.host_of(page_, word_); }
    template <typename T>
    T* at(GuestPhys address) const {
      return reinterpret_cast<T*>(host() + address.page_offset());
    }

   private:
    GuestMemory& memory_;
    const Gpn page_;
    const Access access_;
    const PageWord word_;
  };

  // The longest run from an address on that is contiguous in the host too, all of it pinned for a scope.
  class PinnedRun {
   public:
    PinnedRun(GuestMemory& memory, GuestPhys address, Bytes limit, Access access);
    ~PinnedRun();
    PinnedRun(const PinnedRun&) = delete;
    PinnedRun& operator=(const PinnedRun&) = delete;
    std::span<std::byte> bytes() const { return bytes_; }

   private:
    GuestMemory& memory_;
    const Gpn first_;
    const Access access_;
    PageWord word_;  // the first page's
    u64 pages_ = 1;
    std::span<std::byte> bytes_;
  };

  struct Parts {
    os::MemFile file;
    os::Mapping frames, zeros, words;
  };
  GuestMemory(GuestPhys base, Bytes size, Parts parts);

  u64 index_of(Gpn page) const { return page.raw - base_.page(); }
  bool is_memory(Gpn page) const { return page.raw >= base_.page() && index_of(page) < page_count().raw; }
  Pages page_count() const { return {size_.raw >> kPageShift}; }
  std::atomic<u64>& word(Gpn page) const {
    DCHECK(is_memory(page));
    return reinterpret_cast<std::atomic<u64>*>(parts_.words.data())[index_of(page)];
  }
  std::byte* host_of(Gpn page, PageWord word) const {
    if (word.source() == Source::kZeros) return parts_.zeros.data();
    return parts_.frames.data() + (index_of(page) << kPageShift);
  }

  enum class Pin : bool { kNo, kYes };
  static constexpr u64 marks_of(Access access) {
    return access == Access::kRead ? PageWord::kTouched : PageWord::kTouched | PageWord::kDirty;
  }
  PageWord settle(Gpn page, Access access, u64 marks, Pin pin);
  PageWord pin(Gpn page, Access access) {
    PageWord found{word(page).load()};
    const PageWord pinned{found.raw + PageWord::kOnePin};
    if (found.is_settled_private(marks_of(access)) &&
        word(page).compare_exchange_strong(found.raw, pinned.raw)) {
      return pinned;
    }
    return settle(page, access, marks_of(access), Pin::kYes);
  }
  void unpin(Gpn page, PageWord pinned, Access access);
  void count_move(PageState from, PageState to);

  template <typename Wanted>
  std::vector<Gpn> begin_change(std::span<const Gpn> pages, Wanted wanted);
  void end_change(Gpn page, PageWord next);
  void own_held_zero_pages(GuestPhys address, Bytes count);
  Pages discard_batch(std::span<const Gpn> pages);
  Pages give_back(Gpn first, Pages count);
  std::vector<bool> take_marks(std::span<const Gpn> pages, u64 mark);

  const GuestPhys base_;
  const Bytes size_;
  Parts parts_;
  Holders holders_;
  // How many pages are in each state but kZero, which has the rest: the sum is right at every moment.
  std::atomic<u64> in_state_[kPageStates] = {};
};

}  // namespace cloister::memory
