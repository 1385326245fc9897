// SPDX-License-Identifier: Apache-2.0
// Changes of pages that need a shootdown, in batches
//
// A change has three steps. begin_change() marks each page as changing, which makes it the caller's alone,
// and shoots down those that a holder may have; then the caller does what it wants with the frames;
// end_change() publishes the new word and wakes who waits for it. Between the two the caller waits for
// nothing but harts' safe points, and it skips pages that another has marked, so two changes never wait for
// each other.
//
// A batch is bounded: harts that want one of its pages wait for the whole of it.
#include <algorithm>

#include "memory/guest_memory.h"

namespace cloister::memory {
namespace {

// Bound: 512 pages (2 MiB) a batch. One shootdown and about 0.1 ms of the host's work, which is the longest
// that a hart waits for a page.
constexpr std::size_t kBatch = 512;

bool writing_moves(PageWord word) { return rule_of(word.state()).after_write != word.state(); }

}  // namespace

// Marks those of `pages` that are memory, not pinned, not changed by another and wanted(word).
template <typename Wanted>
std::vector<Gpn> GuestMemory::begin_change(std::span<const Gpn> pages, Wanted wanted) {
  std::vector<Gpn> ours, held;
  for (const Gpn page : pages) {
    if (!is_memory(page)) continue;
    PageWord old{word(page).load()};
    const auto free = [&] { return !old.has(PageWord::kChanging) && old.pins() == 0 && wanted(old); };
    bool marked = false;
    while (free() && !marked)
      marked = word(page).compare_exchange_weak(old.raw, old.with(PageWord::kChanging).raw);
    if (!marked) continue;
    ours.push_back(page);
    if (old.has(PageWord::kHeld)) held.push_back(page);
  }
  holders_.shoot_down(held);
  return ours;
}

void GuestMemory::end_change(Gpn page, PageWord next) {
  const PageWord old{word(page).load()};
  DCHECK(old.has(PageWord::kChanging));
  count_move(old.state(), next.state());
  word(page).store(next.without(PageWord::kChanging).raw);
  holders_.wake();
}

// Makes the pages of a range writable that harts may have mapped as something else, with one shootdown for
// many. It only saves shootdowns: settle() takes the pages that come to be so meanwhile.
void GuestMemory::own_held_zero_pages(GuestPhys address, Bytes count) {
  if (count.raw == 0) return;
  const auto wanted = [](PageWord word) { return word.has(PageWord::kHeld) && writing_moves(word); };
  std::vector<Gpn> found;
  const auto own = [&] {
    for (const Gpn page : begin_change(found, wanted)) {
      const PageWord old{word(page).load()};
      const PageWord next = old.moved_to(rule_of(old.state()).after_write);
      end_change(page, next.without(PageWord::kHeld).with(PageWord::kTouched | PageWord::kDirty));
    }
    found.clear();
  };
  const u64 last = (address + (count.raw - 1)).page();
  for (Gpn page = gpn_of(address); page.raw <= last; ++page.raw) {
    if (wanted(PageWord{word(page).load()})) found.push_back(page);
    if (found.size() == kBatch) own();
  }
  if (!found.empty()) own();
}

Pages GuestMemory::discard(std::span<const Gpn> pages) {
  Pages given;
  for (; !pages.empty(); pages = pages.subspan(std::min(kBatch, pages.size()))) {
    given += discard_batch(pages.first(std::min(kBatch, pages.size())));
  }
  return given;
}

Pages GuestMemory::discard_batch(std::span<const Gpn> pages) {
  std::vector<Gpn> ours =
      begin_change(pages, [](PageWord word) { return word.source() == Source::kOwnFrame; });
  std::sort(ours.begin(), ours.end());
  Pages given;
  for (std::size_t first = 0, end = 0; first < ours.size(); first = end) {
    for (end = first + 1; end < ours.size() && ours[end].raw == ours[end - 1].raw + 1;) ++end;
    given += give_back(ours[first], {end - first});
  }
  return given;
}

// One run of pages that are ours: holes first, then the words say so.
Pages GuestMemory::give_back(Gpn first, Pages count) {
  const bool given = parts_.file.punch_hole(index_of(first) << kPageShift, bytes_of(count)).ok();
  for (Gpn page = first; page.raw < first.raw + count.raw; ++page.raw) {
    const PageWord old = PageWord{word(page).load()}.without(PageWord::kHeld);
    end_change(page, given ? old.moved_to(PageState::kZero).without(PageWord::kTouched).with(PageWord::kDirty)
                           : old);
  }
  return given ? count : Pages{0};
}

std::vector<bool> GuestMemory::take_touched(std::span<const Gpn> pages) {
  return take_marks(pages, PageWord::kTouched);
}

std::vector<bool> GuestMemory::take_dirty(std::span<const Gpn> pages) {
  return take_marks(pages, PageWord::kDirty);
}

// The mark goes first and the translations after it: a hart that looks between the two sets the mark anew,
// and one that writes through its translation until its safe point is still in what this call reports. kHeld
// stays, because a holder may have come back for the page meanwhile; it only costs a shootdown too many.
std::vector<bool> GuestMemory::take_marks(std::span<const Gpn> pages, u64 mark) {
  std::vector<bool> taken(pages.size());
  std::vector<Gpn> held;
  for (std::size_t i = 0; i < pages.size(); ++i) {
    if (!is_memory(pages[i])) continue;
    const PageWord old{word(pages[i]).fetch_and(~mark)};
    taken[i] = old.has(mark);
    if (old.has(mark | PageWord::kHeld)) held.push_back(pages[i]);
  }
  holders_.shoot_down(held);
  return taken;
}

}  // namespace cloister::memory
