// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <type_traits>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "memory/compressed_store.h"
#include "memory/frame_stock.h"
#include "memory/frames.h"
#include "memory/page_copy.h"
#include "memory/read_ahead.h"
#include "memory/swap_file.h"
#include "memory/usage.h"
#include "memory/vault.h"
#include "memory/ways.h"

// The one door to a guest's memory (docs/architecture.md, invariants 1 and 2).
//
// Who uses frames, and when a page may change
//
// Harts keep translations to frames in soft TLBs from one safe point to the next, without a lock. A change of
// a page (its frame, its protection, its state) therefore is a *shootdown*: the page is put to every holder's
// mailbox, every holder is asked for a safe point, and the change happens only after each has forgotten the
// page there or is parked (WFI, stopped, in the host). A parked holder empties its mailbox before it uses a
// frame again. Devices hold no translations: they pin pages for one operation, and those do not change.
//
// A call that has to change a page may wait: for harts, for a frame (FrameSource), for the disk when the page
// is swapped. So a hart leaves before it blocks on anything else: a device's lock, a call into the host, a
// sleep. The thread that waits may itself have entered holders: they count as parked until the call is done.
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

  // Zero pages from `base`. Refused: none, parts of a page, an end over 2^56, no address space for them.
  static Result<std::unique_ptr<GuestMemory>> create(GuestPhys base, Bytes size);
  ~GuestMemory();
  GuestMemory(const GuestMemory&) = delete;
  GuestMemory& operator=(const GuestMemory&) = delete;

  // Where frames come from, where swapped pages go, what may be shared. Each at most once, before the memory
  // is used (the vault: before the first share()), and outlives it. Without: no bound, no swap, no sharing.
  void set_frame_source(FrameSource& source) { stock_.set_source(&source); }
  void set_swap(SwapFile& swap) { swap_ = &swap; }
  bool has_swap() const { return swap_ != nullptr; }
  void set_vault(const Vault& vault, VaultBooks& books);

  GuestPhys base() const { return table_.base(); }
  Bytes size() const { return table_.size(); }
  bool contains(GuestPhys address, u64 bytes) const {
    return address >= base() && bytes <= size().raw && address - base() <= size().raw - bytes;
  }

  // -- Holders (harts) -----------------------------------------------------------------------------

  HolderId attach(TlbHolder& holder) { return table_.holders().attach(holder); }  // parked
  void detach(HolderId id) { table_.holders().detach(id); }                       // Precondition: parked

  // From enter() to leave() the holder may use frames; its thread comes to safe_point() soon when asked to.
  void enter(HolderId id) { table_.holders().enter(id); }
  void safe_point(HolderId id) { table_.holders().safe_point(id); }
  void leave(HolderId id) { table_.holders().leave(id); }

  // The frame behind a page, with the page's marks for the access set; nothing when `page` is no memory, or
  // its content cannot be read back from swap (which is logged): then it is as broken memory. Is itself
  // a safe point when the page must change first, so the caller keeps no other Frame across it.
  // Precondition: between enter(id) and leave(id).
  std::optional<Frame> frame(HolderId id, Gpn page, Access access) {
    DCHECK(table_.holders().entered_here(id));
    (void)id;
    if (!table_.is_memory(page)) return std::nullopt;
    PageWord found = table_.look(page);
    if (!found.is_settled_private(marks_of(access) | PageWord::kHeld)) {
      found = settle(page, access, marks_of(access) | PageWord::kHeld, Pin::kNo);
      if (found.is_failed()) return std::nullopt;
    }
    // A page that has these marks already has no first write to be told of.
    const bool writable =
        found.source() == Source::kOwnFrame && found.has(PageWord::kDirty | PageWord::kWritten);
    return Frame{host_of(page, found), writable};
  }
  // A store of zeros to all of a page that has no frame of its own: it is written, and needs none still.
  // False: it has one (frame() is the way), or is no memory. Otherwise as frame().
  bool clear_without_frame(HolderId id, Gpn page);

  // -- Devices, SBI, loaders: any thread that is not between enter() and leave(), or a hart between
  //    two guest instructions. Each returns false when a byte of the range is no memory, with nothing done,
  //    or its content cannot be had (see frame()).
  bool read(GuestPhys address, std::span<std::byte> to);
  bool write(GuestPhys address, std::span<const std::byte> from);
  bool fill_zero(GuestPhys address, Bytes count);  // pages that are zero anyway stay without a frame

  // Calls use(run), a std::span<std::byte>, for each contiguous run of the range in order, pinned meanwhile,
  // so that pread() and pwrite() may work in place. kRead: not to be written; a page without a frame may come
  // as a copy, so what a disk writes of a swapped page goes from file to file. kWrite: to be written whole;
  // a page without a frame may come as zeros. Stops, and returns false, when `use` does.
  template <typename Use>
  bool with_pinned(GuestPhys address, Bytes count, Access access, Use&& use);

  // One naturally aligned access of 1 to 8 bytes, single-copy atomic; acquire and release order. For rings
  // and futex-like words that harts change meanwhile. Misaligned is like no memory.
  template <typename T>
  std::optional<T> load(GuestPhys address);
  template <typename T>
  bool store(GuestPhys address, T value);

  // -- Pages that are given up, in any order, also twice. Not by a holder between enter() and leave().
  //    Left as they are: those that are pinned, that somebody else changes now, or that are no memory.

  // Pages whose content is no longer wanted: they read as zeros and their frames go back. Returns how many.
  Pages discard(std::span<const Gpn> pages);
  // Takes those of `pages` that hold the balloon value: compared after they were write-protected. They go on
  // to read as the value, and a write gets a frame again. One answer for each.
  std::vector<BalloonAnswer> take_balloon_pages(std::span<const Gpn> pages);
  // A store of the balloon value to each and its taking in one. Begun while the pages are the program's to
  // write, also between enter() and leave(); for all others, who wait for the end, they hold the value from
  // then on. `ours`: what was begun. Not taken: left as they are. Bound: PageTable::kBatch pages at a time.
  std::vector<Gpn> begin_filling(std::span<const Gpn> pages);
  std::vector<BalloonAnswer> end_filling(std::span<const Gpn> pages, std::vector<Gpn> ours);
  // The VM's own: kMarkBytes random bytes, then zeros. Secret: who knows it may give pages of this VM up.
  std::span<const std::byte> balloon_value() const { return {frames_.balloon_page(), kPageSize}; }
  // The page reads as the condition page from now on, until it is written. False: left as it is.
  bool show_condition(Gpn page);
  ConditionPage& condition() { return frames_.condition(); }

  // The hashes (xxh3) of pages that are private and not pinned, as hints for sharing. Nothing for others.
  std::vector<std::optional<u64>> hash(std::span<const Gpn> pages);
  // Compares each page with its offer's frame in the vault, after it was write-protected, and has it read
  // that from then on if they are the same. One answer for each offer.
  std::vector<ShareAnswer> share(std::span<const ShareOffer> offers);
  // Takes the frames of private pages in the cheapest allowed way (kZero, kBalloonValue, kCompress), and says
  // what that got. To `left` are added the pages that none of them could take: the swap file's.
  ByWay evict(std::span<const Gpn> pages, Ways allowed, std::vector<Gpn>& left);
  // Packs about `pages` pages of the compressed store, oldest first, more tightly.
  CompressedStore::Condensed condense(Pages pages) { return store_->condense(pages); }
  std::vector<Gpn> longest_packed(std::size_t most) const;  // those that have been packed for longest
  // Between the two, frames that come free go back to the source at once; those that lie unused do when it
  // begins. Both return how many have gone since.
  Pages begin_shrinking() { return stock_.begin_shrinking(); }
  Pages end_shrinking() { return stock_.end_shrinking(); }
  // Makes a block of pages, from a multiple of Frames::kBlock behind base() on, one of the host's huge pages,
  // if all have frames of their own and none is being changed. False: it was not done, or was one.
  bool collapse(Gpn first);

  // -- What is known of pages

  PageState state(Gpn page) const;  // Precondition: `page` is memory
  bool has_marks(Gpn page, u64 marks) const { return table_.is_memory(page) && table_.look(page).has(marks); }

  Usage usage() const;
  Bytes host() const;  // what the host's kernel says that all of it holds now: looks at each page

  // The marks since the last take_*: for sampling, migration and reclaim. They are cleared and the pages shot
  // down, so that the next touch is seen.
  std::vector<bool> take_touched(std::span<const Gpn> pages) { return take_marks(pages, PageWord::kTouched); }
  std::vector<bool> take_dirty(std::span<const Gpn> pages) { return take_marks(pages, PageWord::kDirty); }
  std::vector<bool> take_marks(std::span<const Gpn> pages, u64 mark) {
    return table_.take_marks(pages, mark);
  }

  // CHECKs all that must hold of words, counts, stores and the file. Precondition: nobody uses the memory.
  void check_invariants() const;

 private:
  friend class SwapOut;
  class PinnedPage;
  class PinnedRun;

  GuestMemory(GuestPhys base, Bytes size, Frames frames, os::Mapping words);

  std::byte* place_of(Gpn page) const { return frames_.place(table_.index_of(page)); }
  // Precondition: a state that can be read in place.
  std::byte* host_of(Gpn page, PageWord word) const {
    if (word.source() == Source::kOwnFrame) return place_of(page);
    return word.source() == Source::kZeros ? frames_.zeros() : host_of_other(word);
  }
  std::byte* host_of_other(PageWord word) const;

  enum class Pin : bool { kNo, kYes };
  static constexpr u64 marks_of(Access access) {
    return access == Access::kRead ? PageWord::kReadMarks : PageWord::kWriteMarks;
  }
  PageWord settle(Gpn page, Access access, u64 marks, Pin pin);
  std::optional<Settled> try_settle(Gpn page, Access access, u64 marks, Pin pin);
  PageWord fill_first(Gpn page, PageWord word, Pin pin);
  PageWord pin(Gpn page, Access access) {
    PageWord found = table_.look(page);
    const PageWord pinned{found.raw + PageWord::kOnePin};
    if (found.is_settled_private(marks_of(access)) &&
        table_.word(page).compare_exchange_strong(found.raw, pinned.raw)) {
      return pinned;
    }
    return settle(page, access, marks_of(access), Pin::kYes);
  }
  void unpin(Gpn page, PageWord pinned, Access access);

  bool bring_in(std::span<const Gpn> pages, Access access);
  bool bring_in_batch(std::span<const Gpn> pages, Access access, Pages credit);
  bool bring_in_with_neighbours(Gpn page, Access access);
  bool read_run(std::span<const Gpn> run);
  bool prepare(GuestPhys address, Bytes count);
  bool fill(Gpn page, PageWord old);
  bool copy_out(Gpn page, PageWord old, PageCopy& to) const;
  bool peek(Gpn page, PageCopy& to);
  void let_go(PageWord old);
  template <typename Next>
  void drop(std::span<Gpn> ours, Pages& credit, Next next);
  Pages discard_batch(std::span<const Gpn> pages);
  Pages give_back_frames(std::span<const Gpn> ours);
  std::vector<Gpn> take_balloon_batch(std::span<const Gpn> pages);
  bool holds_the_value(Gpn page);
  void take_as(PageState state, std::span<Gpn> pages);
  std::vector<Gpn> copy_for_swap(std::span<const Gpn> pages, std::span<PageCopy> copies);
  Pages take_swapped(std::span<const Gpn> pages, u32 first);
  void stay_in_memory(std::span<const Gpn> pages);
  bool pin_as_it_is(Gpn page);
  bool is_sound(const ShareOffer& offer) const;
  void share_batch(std::span<const ShareOffer> offers, std::span<ShareAnswer> answers);
  ByWay drop_known(std::span<const Gpn> pages, Ways allowed, std::vector<Gpn>& other);
  ByWay pack_batch(std::span<const Gpn> pages, std::vector<Gpn>& left);

  PageTable table_;
  Frames frames_;
  FrameStock stock_;
  std::unique_ptr<CompressedStore> store_;
  const Vault* vault_ = nullptr;
  VaultBooks* books_ = nullptr;
  SwapFile* swap_ = nullptr;
  ReadAhead read_ahead_{table_};
  std::atomic<u64> packed_{0}, unpacked_{0}, waited_{0};  // two counts; nanoseconds
};

}  // namespace cloister::memory

#include "memory/guest_access.h"  // with_pinned(), load(), store()
