// SPDX-License-Identifier: Apache-2.0
// Changes of pages
//
// A change has three steps. begin_change() marks each page as changing, which makes it the caller's alone,
// and shoots down those that a holder may have; then the caller does what it wants with the frames;
// end_change() publishes the new word and wakes who waits for it. Between the two the caller waits for
// nothing but harts' safe points, or the disk that a page's content comes from, and it skips pages that
// another has marked, so two changes never wait for each other. What a change needs besides, a frame above
// all, is had before it begins.
//
// A batch is bounded: harts that want one of its pages wait for it.
#include "memory/page_table.h"

namespace cloister::memory {

Pages PageTable::in_state(PageState state) const {
  if (state != PageState::kZero) return {in_state_[static_cast<int>(state)].load()};
  Pages zero = count();
  for (int other = 0; other < kPageStates; ++other) zero -= {in_state_[other].load()};
  return zero;
}

void PageTable::count_move(PageState from, PageState to) {
  if (from == to) return;
  // Out of the old state first: the sum of the counts never exceeds the pages there are.
  if (from != PageState::kZero) in_state_[static_cast<int>(from)].fetch_sub(1);
  if (to != PageState::kZero) in_state_[static_cast<int>(to)].fetch_add(1);
}

void PageTable::end_change(Gpn page, PageWord next) {
  const PageWord old = look(page);
  DCHECK(old.has(PageWord::kChanging) && old.pins() == 0 && next.pins() == 0);
  count_move(old.state(), next.state());
  word(page).store(next.without(PageWord::kChanging).raw);
  holders_.wake();
}

void PageTable::wait_for_change(Gpn page) {
  holders_.wait_until([&] { return !look(page).has(PageWord::kChanging); });
}

void PageTable::clear(Gpn page, u64 mark) {
  for (PageWord old = look(page);;) {
    if (old.has(PageWord::kChanging)) {
      wait_for_change(page);
      old = look(page);
    } else if (word(page).compare_exchange_weak(old.raw, old.without(mark).raw)) {
      return;
    }
  }
}

// The mark goes first and the translations after it: a hart that looks between the two sets the mark anew,
// and one that writes through its translation until its safe point is still in what this call reports. kHeld
// stays, because a holder may have come back for the page meanwhile; it only costs a shootdown too many.
std::vector<bool> PageTable::take_marks(std::span<const Gpn> pages, u64 mark) {
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
