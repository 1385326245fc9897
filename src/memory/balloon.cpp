// SPDX-License-Identifier: Apache-2.0
// What a program of the guest does to its own pages
//
// It gives them up by writing the balloon value there and naming them. The pages are write-protected first
// and compared then, so what was compared is what is dropped. Whatever a program names, the content of memory
// stays the same: only who knows the value can write it, and a page that holds it reads the same before and
// after. So nothing has to be pinned, no list is kept, and a guest that ends, restarts or lies leaves nothing
// to clean up.
//
// A page that was packed, swapped or shared meanwhile is compared too, by a copy: it needs no frame for that.
#include <algorithm>
#include <memory>

#include "memory/drop_frames.h"
#include "memory/guest_memory.h"

namespace cloister::memory {
namespace {

bool may_hold_the_value(PageWord word) {
  return word.source() == Source::kOwnFrame || has_slot(word.source());
}

// Why the change of a page was not begun.
BalloonAnswer answer_for(PageWord word) {
  if (word.state() == PageState::kBalloonValue) return BalloonAnswer::kTaken;
  return may_hold_the_value(word) ? BalloonAnswer::kBusy : BalloonAnswer::kOther;
}

}  // namespace

std::vector<BalloonAnswer> GuestMemory::take_balloon_pages(std::span<const Gpn> pages) {
  std::vector<BalloonAnswer> answers;
  for (; !pages.empty(); pages = pages.subspan(std::min(PageTable::kBatch, pages.size()))) {
    const auto batch = pages.first(std::min(PageTable::kBatch, pages.size()));
    const std::vector<Gpn> different = take_balloon_batch(batch);
    for (const Gpn page : batch) {
      if (!table_.is_memory(page)) {
        answers.push_back(BalloonAnswer::kNoMemory);
      } else if (std::binary_search(different.begin(), different.end(), page)) {
        answers.push_back(BalloonAnswer::kOther);
      } else {
        answers.push_back(answer_for(table_.look(page)));
      }
    }
  }
  return answers;
}

// Returns those that hold something else, in ascending order.
std::vector<Gpn> GuestMemory::take_balloon_batch(std::span<const Gpn> pages) {
  std::vector<Gpn> ours = table_.begin_change(pages, may_hold_the_value);
  const auto same = std::partition(ours.begin(), ours.end(), [&](Gpn page) { return holds_the_value(page); });
  for (auto page = same; page != ours.end(); ++page)
    table_.end_change(*page, table_.look(*page).without(PageWord::kHeld));
  std::vector<Gpn> different(same, ours.end());
  std::sort(different.begin(), different.end());
  take_as(PageState::kBalloonValue, std::span(ours.begin(), same));
  return different;
}

std::vector<Gpn> GuestMemory::begin_filling(std::span<const Gpn> pages) {
  return table_.begin_change(pages, [](PageWord word) { return word.state() != PageState::kBalloonValue; });
}

// `ours` are in the order of `pages`; a page that is named twice is among them once.
std::vector<BalloonAnswer> GuestMemory::end_filling(std::span<const Gpn> pages, std::vector<Gpn> ours) {
  std::vector<BalloonAnswer> answers(pages.size(), BalloonAnswer::kNoMemory);
  auto next = ours.begin();
  for (std::size_t i = 0; i < pages.size() && next != ours.end(); ++i) {
    if (pages[i] != *next) continue;
    answers[i] = BalloonAnswer::kTaken;
    ++next;
  }
  Pages credit;
  drop(ours, credit,
       [](Gpn, PageWord old) { return old.moved_to(PageState::kBalloonValue).with(PageWord::kWriteMarks); });
  stock_.put(credit);
  for (std::size_t i = 0; i < pages.size(); ++i) {
    if (answers[i] == BalloonAnswer::kTaken || !table_.is_memory(pages[i])) continue;
    const bool taken = table_.look(pages[i]).state() == PageState::kBalloonValue;
    answers[i] = taken ? BalloonAnswer::kTaken : BalloonAnswer::kBusy;
  }
  return answers;
}

// Precondition: the page is being changed by us.
bool GuestMemory::holds_the_value(Gpn page) {
  const PageWord word = table_.look(page);
  if (word.source() == Source::kOwnFrame) return same_page(place_of(page), frames_.balloon_page());
  const auto copy = std::make_unique_for_overwrite<PageCopy>();
  return copy_out(page, word, *copy) && same_page(copy->bytes.data(), frames_.balloon_page());
}

// Ends the change of pages whose content is known from their state.
void GuestMemory::take_as(PageState state, std::span<Gpn> pages) {
  Pages credit;
  drop(pages, credit, [state](Gpn, PageWord old) { return old.moved_to(state); });
  stock_.put(credit);
}

bool GuestMemory::show_condition(Gpn page) {
  const auto other = [](PageWord word) { return word.state() != PageState::kCondition; };
  std::vector<Gpn> ours = table_.begin_change({&page, 1}, other);
  if (ours.empty()) return table_.is_memory(page) && !other(table_.look(page));
  take_as(PageState::kCondition, ours);
  return true;
}

}  // namespace cloister::memory
