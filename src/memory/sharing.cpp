// SPDX-License-Identifier: Apache-2.0
// Sharing: one frame of the vault for pages with the same content (vault.h says who does what)
//
// The comparison is in full and comes after the write-protect, so what the hashes promised does not matter.
// A reference that comes with an offer is either in a page's word or goes back, never both.
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "memory/drop_frames.h"
#include "memory/guest_copy.h"
#include "memory/guest_memory.h"

namespace cloister::memory {
namespace {

struct Chosen {
  Gpn page;
  std::size_t offer;  // which one
};

// Precondition: it is there.
const Chosen& find(const std::vector<Chosen>& chosen, Gpn page) {
  return *std::lower_bound(chosen.begin(), chosen.end(), page,
                           [](const Chosen& one, Gpn wanted) { return one.page < wanted; });
}

}  // namespace

std::vector<std::optional<u64>> GuestMemory::hash(std::span<const Gpn> pages) {
  std::vector<std::optional<u64>> hashes(pages.size());
  std::array<std::byte, kPageSize> copy;
  for (std::size_t i = 0; i < pages.size(); ++i) {
    if (!pin_as_it_is(pages[i])) continue;
    copy_racing(copy.data(), place_of(pages[i]), kPageSize);
    table_.unpin(pages[i]);
    hashes[i] = XXH3_64bits(copy.data(), kPageSize);
  }
  return hashes;
}

// Pins a private page without a mark: to look at it is no use of it.
bool GuestMemory::pin_as_it_is(Gpn page) {
  if (!table_.is_memory(page)) return false;
  PageWord old = table_.look(page);
  while (old.is_settled_private(0)) {
    if (table_.word(page).compare_exchange_weak(old.raw, old.pinned().raw)) return true;
  }
  return false;
}

std::vector<ShareAnswer> GuestMemory::share(std::span<const ShareOffer> offers) {
  std::vector<ShareAnswer> answers(offers.size(), ShareAnswer::kRefused);
  for (std::size_t first = 0; first < offers.size(); first += PageTable::kBatch) {
    const std::size_t count = std::min(PageTable::kBatch, offers.size() - first);
    share_batch(offers.subspan(first, count), std::span(answers).subspan(first, count));
  }
  std::vector<u32> back;
  for (std::size_t i = 0; i < offers.size(); ++i) {
    if (answers[i] != ShareAnswer::kShared) back.push_back(offers[i].slot);
  }
  if (!back.empty() && books_ != nullptr) books_->released(back);
  return answers;
}

void GuestMemory::share_batch(std::span<const ShareOffer> offers, std::span<ShareAnswer> answers) {
  // The first sound offer for each page, in the order of the pages. Another for the same page stays busy.
  std::vector<Chosen> chosen;
  for (std::size_t i = 0; i < offers.size(); ++i) {
    if (!is_sound(offers[i])) continue;
    answers[i] = ShareAnswer::kBusy;
    chosen.push_back({offers[i].page, i});
  }
  std::stable_sort(chosen.begin(), chosen.end(), [](auto& a, auto& b) { return a.page < b.page; });
  std::vector<Gpn> pages, same;
  for (const Chosen& one : chosen) pages.push_back(one.page);
  for (const Gpn page :
       table_.begin_change(pages, [](PageWord word) { return word.state() == PageState::kPrivate; })) {
    const std::size_t offer = find(chosen, page).offer;
    const bool equal = std::memcmp(place_of(page), vault_->frame(offers[offer].slot), kPageSize) == 0;
    answers[offer] = equal ? ShareAnswer::kShared : ShareAnswer::kDiffers;
    if (equal) same.push_back(page);
    if (!equal) table_.end_change(page, table_.look(page).without(PageWord::kHeld));
  }
  Pages credit;
  drop(same, credit, [&](Gpn page, PageWord old) {
    return old.moved_to(PageState::kShared, offers[find(chosen, page).offer].slot);
  });
  stock_.put(credit);
}

bool GuestMemory::is_sound(const ShareOffer& offer) const {
  return vault_ != nullptr && offer.slot < vault_->capacity().raw && table_.is_memory(offer.page) &&
         table_.look(offer.page).state() == PageState::kPrivate;
}

}  // namespace cloister::memory
