// SPDX-License-Identifier: Apache-2.0
// Taking frames away
//
// All ways are the same three steps: the pages become ours and are write-protected (begin_change), then their
// content is looked at, then those that may go lose their frames and get the word that says how the content
// is made again. The order is what makes it safe: what was compared or packed cannot change any more, and a
// page whose content is not known elsewhere keeps its frame.
//
// Frames are given back in runs of neighbours, before anything new is taken: a batch that is packed pays for
// the store's frames with its own, so taking memory away never needs memory.
#include <algorithm>
#include <array>

#include "memory/codec.h"
#include "memory/drop_frames.h"
#include "memory/guest_memory.h"

namespace cloister::memory {
namespace {

// Bound: pages that are packed in one go. A hart that wants one of them waits for all: under half a
// millisecond.
constexpr std::size_t kPackBatch = 64;

bool has_own_frame(PageWord word) { return word.source() == Source::kOwnFrame; }

// Packed pages of a batch, until they have a place in the store.
struct Scratch {
  std::array<std::array<std::byte, kMostPacked>, kPackBatch> packed;
  std::array<std::size_t, kPackBatch> size;
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
    for (std::span<const Gpn> rest = other; !rest.empty();) {
      const auto batch = rest.first(std::min(kPackBatch, rest.size()));
      if (allowed.allow(Way::kCompress) && store_->has_room()) {
        got += pack_batch(batch, left);
      } else {
        left.insert(left.end(), batch.begin(), batch.end());
      }
      rest = rest.subspan(batch.size());
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

ByWay GuestMemory::pack_batch(std::span<const Gpn> pages, std::vector<Gpn>& left) {
  thread_local const auto scratch = std::make_unique<Scratch>();
  std::vector<Gpn> ours = table_.begin_change(pages, has_own_frame), going;
  std::sort(ours.begin(), ours.end());
  for (const Gpn page : ours) {
    const std::size_t at = going.size();
    scratch->size[at] = pack(Codec::kLz4, std::span<const std::byte, kPageSize>(place_of(page), kPageSize),
                             scratch->packed[at]);
    if (scratch->size[at] != 0) {
      going.push_back(page);
    } else {
      table_.end_change(page, table_.look(page).without(PageWord::kHeld));
      left.push_back(page);
    }
  }
  Pages credit;
  std::size_t at = 0;
  drop(going, credit, [&](Gpn page, PageWord old) {
    const auto packed = std::span(scratch->packed[at]).first(scratch->size[at]);
    ++at;
    const u32 slot = store_->put(static_cast<u32>(table_.index_of(page)), Codec::kLz4, packed, credit);
    return old.moved_to(PageState::kCompressed, slot);
  });
  stock_.put(credit);
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
