// SPDX-License-Identifier: Apache-2.0
// First touches, and what is filled along with them
//
// A page that becomes private has a hole for a place, and the first store through a hart's translation would
// have the host's kernel fill it: an exception of 4 to 20 us, where a call that fills a place costs 4 to 6,
// one that fills 16 about 2 a page, and one that fills a block of 2 MiB with a huge page 0.3 a page, the
// clearing included. So no first touch is left to trap: the place is filled by a call before the frame is
// handed out, and with it, as files are read ahead, those that are likely to be next.
//
// How many follows from the words themselves, so there is nothing to keep for harts or regions. As many as
// pages in a row right before this one were written, or right behind it where memory is walked downward: a
// walk doubles its steps that way (1, 2, 4 ... to kMostAlong), and a page by itself takes nothing along. And
// all of a block where nothing was touched yet, when the block before or behind it was written from end to
// end: who fills memory, or a guest's kernel that hands out huge pages, goes on with the next block, in
// whatever order within it. Pages that were filled along have no mark until they are used, so they do not
// count as written: what was in vain does not breed.
//
// What is filled along is private and holds zeros. It is counted as any frame, and nobody waits or gives
// anything up for it, so where frames are short there is none; and being unmarked it is what the reclaimer
// meets as idle, and drops as zeros. Bound: there are never more of them than pages that were written, twice
// over.
//
// While places are filled their pages are pinned: a page that was taken away meanwhile would be filled in a
// state that has no frame. Devices know how far they go, and fill that.
#include <algorithm>

#include "memory/guest_memory.h"

namespace cloister::memory {
namespace {

// Bound: so many take some 100 us, a block 150, the longest that a hart stands still for what it did not ask
// for.
constexpr u64 kMostAlong = 64;

// Pages around one.
struct Along {
  u64 below = 0, above = 0;
  u64 count() const { return below + above; }
};

// How many pages in a row beside `page` were written, up to `most`.
u64 written_below(const PageTable& table, u64 index, u64 most) {
  u64 count = 0;
  while (count < std::min(most, index) &&
         table.look(table.page_at(index - count - 1)).is_settled_private(PageWord::kWritten))
    ++count;
  return count;
}
u64 written_from(const PageTable& table, u64 index, u64 most) {
  u64 count = 0;
  while (count < most && index + count < table.count().raw &&
         table.look(table.page_at(index + count)).is_settled_private(PageWord::kWritten))
    ++count;
  return count;
}

// Not one of which a copy is under way either: that it holds something else now must be seen by a mark.
bool is_plain_zero(PageWord word) {
  constexpr u64 kBusy = PageWord::kHeld | PageWord::kChanging | PageWord::kLeaving;
  return word.state() == PageState::kZero && (word.raw & kBusy) == 0;
}

// All of the block that nobody but this page has touched, next to one that is written.
Along rest_of_block(const PageTable& table, u64 index) {
  const u64 first = index / Frames::kBlock * Frames::kBlock, end = first + Frames::kBlock;
  if (end > table.count().raw) return {};
  for (u64 other = first; other < end; ++other) {
    if (other != index && !is_plain_zero(table.look(table.page_at(other)))) return {};
  }
  const bool goes_on = written_below(table, first, Frames::kBlock) == Frames::kBlock ||
                       written_from(table, end, Frames::kBlock) == Frames::kBlock;
  return goes_on ? Along{index - first, end - index - 1} : Along{};
}

// Within the block: the next one is to come as a whole.
Along next_in_row(const PageTable& table, u64 index) {
  const u64 first = index / Frames::kBlock * Frames::kBlock;
  const u64 end = std::min(first + Frames::kBlock, table.count().raw);
  const u64 before = written_below(table, index, kMostAlong);
  if (before > 0) return {0, std::min(before, end - index - 1)};
  return {std::min(written_from(table, index + 1, kMostAlong), index - first), 0};
}

// Makes a page private and pins it. False: that is not done by a compare-and-swap.
bool pin_new(PageTable& table, u64 index) {
  const Gpn page = table.page_at(index);
  PageWord old = table.look(page);
  if (!is_plain_zero(old)) return false;
  const PageWord next = old.moved_to(PageState::kPrivate).pinned();
  if (!table.word(page).compare_exchange_strong(old.raw, next.raw)) return false;
  table.count_move(PageState::kZero, PageState::kPrivate);
  return true;
}

// As far as they follow each other, and credit lasts.
Along pin_along(PageTable& table, u64 index, const Along& wanted, u64 credit) {
  Along got;
  while (got.above < wanted.above && got.count() < credit && pin_new(table, index + got.above + 1))
    ++got.above;
  while (got.below < wanted.below && got.count() < credit && pin_new(table, index - got.below - 1))
    ++got.below;
  return got;
}

}  // namespace

PageWord GuestMemory::fill_first(Gpn page, PageWord word, Pin pin) {
  const u64 index = table_.index_of(page);
  Along along;
  if (pin == Pin::kNo) {
    Along wanted = rest_of_block(table_, index);
    Pages credit = wanted.count() > 0 ? stock_.take_all({wanted.count()}) : Pages{};
    if (credit == Pages{}) {
      wanted = next_in_row(table_, index);
      credit = stock_.take_from_here({wanted.count()});
    }
    along = pin_along(table_, index, wanted, credit.raw);
    stock_.put(credit - Pages{along.count()});
  }
  const u64 first = index - along.below, end = index + along.above + 1;
  frames_.populate(first, {end - first});
  for (u64 other = first; other < end; ++other) {
    if (other != index) table_.unpin(table_.page_at(other));
  }
  if (pin == Pin::kYes) return word;
  table_.unpin(page);
  return {word.raw - PageWord::kOnePin};
}

}  // namespace cloister::memory
