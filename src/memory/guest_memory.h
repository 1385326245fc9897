// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/lock.h"
#include "base/os/mapping.h"
#include "base/result.h"
#include "base/units.h"
#include "memory/page_set.h"

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
namespace cloister::memory {

enum class PageState : u8 {
  kZero,          // never written, or given up: reads as zeros, holds no frame
  kPrivate,       // a frame of this guest's own
  kBalloonValue,  // given up by the balloon application: reads as the VM's balloon value, holds no frame
  kShared,        // a read-only frame that others hold too
  kCompressed,    // in the compressed store
  kSwapped,       // in the swap file
};
inline constexpr int kPageStates = 6;

enum class Access : u8 { kRead, kWrite };

// Where a page is now. Valid until the holder's next safe point. Not writable: a write must ask again
// with Access::kWrite (the first write makes a frame, or marks the page dirty).
struct Frame {
  std::byte* host = nullptr;
  bool writable = false;
};

// A hart, as this module sees it.
class TlbHolder {
 public:
  virtual ~TlbHolder() = default;
  // Call GuestMemory::safe_point() soon. Any thread; must not block and takes no lock above LockRank::kHart.
  virtual void ask_for_safe_point() = 0;
  // Forget all cached translations to `pages`. Called on the holder's own thread inside enter() or safe_point().
  virtual void forget(const PageSet& pages) = 0;
};

class GuestMemory {
 public:
  using HolderId = u32;

  // `size` bytes of zero pages from `base`. Costs no frame until written.
  // Refused: a size of 0 or not a multiple of the page, a base + size over 2^56, no address space.
  static Result<std::unique_ptr<GuestMemory>> create(GuestPhys base, Bytes size);
  ~GuestMemory();

  GuestPhys base() const { return base_; }
  Bytes size() const { return size_; }
  bool contains(GuestPhys address, u64 bytes) const {
    return address >= base_ && bytes <= size_.raw && address - base_ <= size_.raw - bytes;
  }

  // -- Holders (harts) -----------------------------------------------------------------------------

  HolderId attach(TlbHolder& holder);  // parked
  void detach(HolderId id);            // Precondition: parked

  // From enter() to leave() the holder may use frames; its thread must come to safe_point() in bounded time
  // whenever it was asked to.
  void enter(HolderId id);
  void safe_point(HolderId id);
  void leave(HolderId id);

  // The frame behind a page, with the page's touched (and for kWrite, dirty) mark set; nothing when
  // `page` is no memory. Is itself a safe point when the page must change first, so the caller
  // keeps no other Frame across it. Precondition: between enter(id) and leave(id).
  std::optional<Frame> frame(HolderId id, Gpn page, Access access);

  // -- Devices, SBI, loaders: any thread that is not between enter() and leave(), or a hart between
  //    two guest instructions. Each returns false, with nothing done past the edge, when a byte of the range
  //    is no memory.

  bool read(GuestPhys address, std::span<std::byte> to);
  bool write(GuestPhys address, std::span<const std::byte> from);
  bool fill_zero(GuestPhys address, Bytes count);

  // Calls use(run) for each contiguous run of the range in order, its pages pinned for the time of the call, so
  // that pread() and pwrite() may work in place. Stops early when `use` returns false.
  template <typename Use>
  bool with_pinned(GuestPhys address, Bytes count, Access access, Use&& use);

  // One naturally aligned 1-, 2-, 4- or 8-byte access, single-copy atomic; acquire and release order.
  // For rings and futex-like words that harts change meanwhile.
  template <typename T>
  std::optional<T> load(GuestPhys address);
  template <typename T>
  bool store(GuestPhys address, T value);

  // -- Page states ---------------------------------------------------------------------------------

  // Gives up pages whose content is no longer wanted: they read as zeros and their frames go back to
  // the host. Pinned pages are left as they are. Returns how many were given up. Must not be called
  // by a holder between enter() and leave().
  Pages discard(std::span<const Gpn> pages);

  PageState state(Gpn page) const;

  struct Usage {
    Pages in_state[kPageStates];  // sums to size()
    Bytes host;                   // what the host's kernel says that the memory file holds now
  };
  Usage usage() const;

  // Dirty and touched marks since the last take_*: for sampling, migration and swap. The marks of the pages in
  // the set are cleared and the pages shot down, so that the next touch is seen.
  std::vector<bool> take_touched(std::span<const Gpn> pages);
  std::vector<bool> take_dirty(std::span<const Gpn> pages);

 private:
  GuestMemory(GuestPhys base, Bytes size);

  const GuestPhys base_;
  const Bytes size_;
};

}  // namespace cloister::memory
