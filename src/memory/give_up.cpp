// SPDX-License-Identifier: Apache-2.0
// Taking frames away
//
// All ways are the same three steps: the pages become ours and are write-protected (begin_change), then their
// content is looked at, then those that may go lose their frames and get the word that says how the content
// is made again. The order is what makes it safe: what was compared cannot change any more, what was packed
// is taken only if it was not written since (as in swap_out.cpp), and a page whose content is not known
// elsewhere keeps its frame.
//
// Frames are given back in runs of neighbours, before anything new is taken: a batch that is packed pays for
// the store's frames with its own, so taking memory away never needs memory.
#include <algorithm>
#include <array>

#include "memory/codec.h"
#include "memory/drop_frames.h"
#include "memory/guest_copy.h"
#include "memory/guest_memory.h"

namespace cloister::memory {
namespace {

bool has_own_frame(PageWord word) { return word.source() == Source::kOwnFrame; }
bool can_be_packed(PageWord word) { return has_own_frame(word) && !word.has(PageWord::kLeaving); }
bool is_as_packed(PageWord word) { return has_own_frame(word) && !word.has(PageWord::kWritten); }

// Packed pages of a batch, until they have a place in the store.
class Scratch {
 public:
  void clear() { used_ = count_ = 0; }
  // False: it cannot be packed.
  bool add(const std::byte* page) {
    copy_racing(copy_.data(), page, kPageSize);
    const auto room = std::span<std::byte, kMostPacked>(packed_.data() + used_, kMostPacked);
    const std::size_t size = pack(Codec::kLz4, copy_, room);
    if (size == 0) return false;
    places_[count_++] = {used_, size};
    used_ += size;
    return true;
  }
  std::span<const std::byte> packed(std::size_t index) const {
    return std::span(packed_).subspan(places_[index].begin, places_[index].size);
  }

 private:
  struct Place {
    std::size_t begin, size;
  };
  std::array<std::byte, kPageSize> copy_;
  std::array<std::byte, PageTable::kBatch * kMostPacked> packed_;
  std::array<Place, PageTable::kBatch> places_;
  std::size_t used_ = 0, count_ = 0;
};

}  // namespace

Pages GuestMemory::discard(std::span<const Gpn> pages) {
  Pages given;
  for (; !pages.empty(); pages = pages.subspan(std::min(PageTable::kBatch, pages.size()))) {
    given += discard_batch(pages.first(std::min(PageTable::kBatch, pages.size())));
  }
  return given;
}

Pages GuestMemory::discard_batch(std::span<const Gpn> pages) {
  const auto emptied = [](PageWord old) {
    return old.moved_to(PageState::kZero).without(PageWord::kTouched).with(PageWord::kDirty);
  };
  std::vector<Gpn> ours =
      table_.begin_change(pages, [](PageWord word) { return word.state() != PageState::kZero; });
  Pages credit;
  drop(ours, credit, [&](Gpn, PageWord old) { return emptied(old); });
  stock_.put(credit);
  return {ours.size()};
}

// Of pages, in ascending order, that are being changed by us.
Pages GuestMemory::give_back_frames(std::span<const Gpn> ours) {
  std::vector<Frames::Run> runs;
  Pages count;
  bool goes_on = false;
  for (std::size_t i = 0; i < ours.size(); ++i) {
    goes_on = goes_on && ours[i].raw == ours[i - 1].raw + 1;
    if (!has_own_frame(table_.look(ours[i]))) continue;
    const u64 index = table_.index_of(ours[i]);
    if (!goes_on) runs.push_back({index, {}});
    runs.back().count = Pages{index - runs.back().first + 1};
    count += Pages{1};
    goes_on = true;
  }
  frames_.give_back(runs);
  return count;
}

ByWay GuestMemory::evict(std::span<const Gpn> pages, Ways allowed, std::vector<Gpn>& left) {
  ByWay got;
  for (; !pages.empty(); pages = pages.subspan(std::min(PageTable::kBatch, pages.size()))) {
    std::vector<Gpn> other;
    got += drop_known(pages.first(std::min(PageTable::kBatch, pages.size())), allowed, other);
    if (allowed.allow(Way::kCompress) && store_->has_room()) {
      got += pack_batch(other, left);
    } else {
      left.insert(left.end(), other.begin(), other.end());
    }
  }
  return got;
}

// Those whose content is known without being kept go at once, in long runs; the others are to be packed.
ByWay GuestMemory::drop_known(std::span<const Gpn> pages, Ways allowed, std::vector<Gpn>& other) {
  ByWay got;
  std::vector<Gpn> going;
  std::vector<Gpn> ours = table_.begin_change(pages, has_own_frame);
  std::sort(ours.begin(), ours.end());
  const auto is = [&](Way way, Gpn page, const std::byte* content) {
    return allowed.allow(way) && same_page(place_of(page), content);
  };
  const auto zero_first = std::stable_partition(
      ours.begin(), ours.end(), [&](Gpn page) { return is(Way::kZero, page, frames_.zeros()); });
  const auto known_first = std::stable_partition(
      zero_first, ours.end(), [&](Gpn page) { return is(Way::kBalloonValue, page, frames_.balloon_page()); });
  got[Way::kZero] = Pages{static_cast<u64>(zero_first - ours.begin())};
  got[Way::kBalloonValue] = Pages{static_cast<u64>(known_first - zero_first)};
  for (auto page = known_first; page != ours.end(); ++page) {
    table_.end_change(*page, table_.look(*page).without(PageWord::kHeld));
    other.push_back(*page);
  }
  Pages credit;
  drop(std::span(ours.begin(), zero_first), credit,
       [](Gpn, PageWord old) { return old.moved_to(PageState::kZero); });
  drop(std::span(zero_first, known_first), credit,
       [](Gpn, PageWord old) { return old.moved_to(PageState::kBalloonValue); });
  stock_.put(credit);
  return got;
}

// Packing takes long, so the pages are the guest's meanwhile, but write-protected: those that are not written
// until all are packed go, and together. For a block that is a huge page of the host is cut before a part of
// it goes, and is slow to read from then on.
ByWay GuestMemory::pack_batch(std::span<const Gpn> pages, std::vector<Gpn>& left) {
  thread_local const auto scratch = std::make_unique_for_overwrite<Scratch>();
  scratch->clear();
  std::vector<Gpn> ours = table_.begin_change(pages, can_be_packed), packed;
  for (const Gpn page : ours) {
    const PageWord old = table_.look(page).without(PageWord::kHeld | PageWord::kWritten);
    table_.end_change(page, old.with(PageWord::kLeaving));
  }
  std::sort(ours.begin(), ours.end());
  for (const Gpn page : ours) {
    if (!pin_as_it_is(page)) continue;  // somebody changes it: it is not idle
    const bool done = scratch->add(place_of(page));
    table_.unpin(page);
    (done ? packed : left).push_back(page);
  }
  std::vector<Gpn> going = table_.begin_change(packed, is_as_packed);
  Pages credit;
  drop(going, credit, [&](Gpn page, PageWord old) {
    const auto index = std::lower_bound(packed.begin(), packed.end(), page) - packed.begin();
    const u32 slot = store_->put(static_cast<u32>(table_.index_of(page)), Codec::kLz4,
                                 scratch->packed(static_cast<std::size_t>(index)), credit);
    return old.moved_to(PageState::kCompressed, slot).without(PageWord::kLeaving);
  });
  stock_.put(credit);
  packed_.fetch_add(going.size(), std::memory_order_relaxed);
  for (const Gpn page : ours) {
    if (!std::binary_search(going.begin(), going.end(), page)) table_.clear(page, PageWord::kLeaving);
  }
  ByWay got;
  got[Way::kCompress] = credit;
  return got;
}

std::vector<Gpn> GuestMemory::longest_packed(std::size_t most) const {
  std::vector<Gpn> pages;
  for (const u32 owner : store_->oldest(most)) pages.push_back(table_.page_at(owner));
  return pages;
}

}  // namespace cloister::memory
