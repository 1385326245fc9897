// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <span>
#include <utility>
#include <vector>

#include "base/os/mapping.h"
#include "base/units.h"
#include "memory/holders.h"
#include "memory/page_word.h"

namespace cloister::memory {

// The words of all pages, and the rules by which they change (essay in page_table.cpp). Thread safe.
class PageTable {
 public:
  // `words` has a word of zeros for each page. Precondition: base and size are multiples of the page.
  PageTable(GuestPhys base, Bytes size, os::Mapping words)
      : base_(base), size_(size), words_(std::move(words)) {}

  GuestPhys base() const { return base_; }
  Bytes size() const { return size_; }
  Pages count() const { return {size_.raw >> kPageShift}; }
  bool is_memory(Gpn page) const { return page.raw >= base_.page() && index_of(page) < count().raw; }
  u64 index_of(Gpn page) const { return page.raw - base_.page(); }
  Gpn page_at(u64 index) const { return {base_.page() + index}; }
  Holders& holders() { return holders_; }

  // Precondition: is_memory(page).
  std::atomic<u64>& word(Gpn page) const {
    DCHECK(is_memory(page));
    return reinterpret_cast<std::atomic<u64>*>(words_.data())[index_of(page)];
  }
  PageWord look(Gpn page) const { return {word(page).load()}; }

  Pages in_state(PageState state) const;
  // To be called by whoever moved a page to another state by a compare-and-swap of its own.
  void count_move(PageState from, PageState to);

  // Marks those of `pages` that are memory, not pinned, not being changed and wanted(word) as changing, and
  // shoots them down: they are the caller's alone until end_change(). Skips all others, and duplicates.
  // The caller waits for nothing but disks meanwhile. Bound: kBatch pages should be the most.
  template <typename Wanted>
  std::vector<Gpn> begin_change(std::span<const Gpn> pages, Wanted wanted) {
    std::vector<Gpn> ours, held;
    for (const Gpn page : pages) {
      PageWord old;
      if (!is_memory(page) || !try_mark(page, wanted, old)) continue;
      ours.push_back(page);
      if (old.has(PageWord::kHeld)) held.push_back(page);
    }
    holders_.shoot_down(held);
    return ours;
  }
  // Likewise for one page whose content and place stay as they are, so without a shootdown.
  template <typename Wanted>
  bool begin_copy(Gpn page, Wanted wanted) {
    PageWord old;
    return is_memory(page) && try_mark(page, wanted, old);
  }
  void end_change(Gpn page, PageWord next);
  // Returns when `page` is not being changed, or was not for a moment. Parks this thread's holders.
  void wait_for_change(Gpn page);

  // Precondition: the caller pinned it.
  void unpin(Gpn page) { word(page).fetch_sub(PageWord::kOnePin); }

  // Takes a mark away that says nothing of translations. Waits for a change of the page.
  void clear(Gpn page, u64 mark);

  // Which of `pages` have the mark; it is cleared, and the pages are shot down so that the next touch sets it
  // anew. What is no memory has no marks.
  std::vector<bool> take_marks(std::span<const Gpn> pages, u64 mark);

  // Neighbours that come back together, by one read.
  static constexpr u64 kCluster = 16;
  // Bound: 512 pages (2 MiB) a batch. One shootdown and about 0.1 ms of the host's work, which is the longest
  // that a hart waits for a page whose content need not be fetched or packed.
  static constexpr std::size_t kBatch = 512;

 private:
  template <typename Wanted>
  bool try_mark(Gpn page, Wanted wanted, PageWord& old) {
    old = look(page);
    while (!old.has(PageWord::kChanging) && old.pins() == 0 && wanted(old)) {
      if (word(page).compare_exchange_weak(old.raw, old.with(PageWord::kChanging).raw)) return true;
    }
    return false;
  }

  const GuestPhys base_;
  const Bytes size_;
  const os::Mapping words_;
  Holders holders_;
  // How many pages are in each state but kZero, which has the rest: the sum is right at every moment.
  std::atomic<u64> in_state_[kPageStates] = {};
};

}  // namespace cloister::memory
