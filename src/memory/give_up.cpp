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

// What is to become of one page of a batch.
struct Verdict {
  enum class Kind : u8 { kZero, kBalloonValue, kPacked, kLeft } kind = Kind::kLeft;
  u16 size = 0;  // packed
};

// Packed pages of a batch, until they have a place in the store.
using Scratch = std::array<std::array<std::byte, kMostPacked>, kPackBatch>;

// The pages whose content is known without looking.
struct Known {
  const std::byte* zeros;
  const std::byte* balloon;
};

Verdict judge(std::span<const std::byte, kPageSize> page, const Known& known, Ways allowed,
              std::span<std::byte, kMostPacked> packed) {
  using Kind = Verdict::Kind;
  if (allowed.allow(Way::kZero) && same_page(page.data(), known.zeros)) return {Kind::kZero};
  if (allowed.allow(Way::kBalloonValue) && same_page(page.data(), known.balloon))
    return {Kind::kBalloonValue};
  if (!allowed.allow(Way::kCompress)) return {};
  const std::size_t size = pack(Codec::kLz4, page, packed);
  return size == 0 ? Verdict{} : Verdict{Kind::kPacked, static_cast<u16>(size)};
}

PageWord as_known(PageWord old, Verdict::Kind kind, ByWay& got) {
  const bool zero = kind == Verdict::Kind::kZero;
  got[zero ? Way::kZero : Way::kBalloonValue] += Pages{1};
  return old.moved_to(zero ? PageState::kZero : PageState::kBalloonValue);
}

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
  const auto own =
      std::partition(ours.begin(), ours.end(), [&](Gpn page) { return has_own_frame(table_.look(page)); });
  for (auto page = own; page != ours.end(); ++page) {
    const PageWord old = table_.look(*page);
    table_.end_change(*page, emptied(old).without(PageWord::kHeld));
    let_go(old);
  }
  Pages credit;
  drop(std::span(ours.begin(), own), credit, [&](Gpn, PageWord old) { return emptied(old); });
  stock_.put(credit);
  return {ours.size()};
}

ByWay GuestMemory::evict(std::span<const Gpn> pages, Ways allowed, std::vector<Gpn>& left) {
  ByWay got;
  for (; !pages.empty(); pages = pages.subspan(std::min(kPackBatch, pages.size()))) {
    const Ways ways = store_->has_room() ? allowed : allowed.without(Way::kCompress);
    got += evict_batch(pages.first(std::min(kPackBatch, pages.size())), ways, left);
  }
  return got;
}

ByWay GuestMemory::evict_batch(std::span<const Gpn> pages, Ways allowed, std::vector<Gpn>& left) {
  thread_local const auto scratch = std::make_unique<Scratch>();
  std::array<Verdict, kPackBatch> verdicts;  // of each of `going`
  std::vector<Gpn> ours = table_.begin_change(pages, has_own_frame), going;
  std::sort(ours.begin(), ours.end());
  for (const Gpn page : ours) {
    const std::size_t at = going.size();
    verdicts[at] = judge(std::span<const std::byte, kPageSize>(place_of(page), kPageSize),
                         {frames_.zeros(), frames_.balloon_page()}, allowed, (*scratch)[at]);
    if (verdicts[at].kind != Verdict::Kind::kLeft) {
      going.push_back(page);
    } else {
      table_.end_change(page, table_.look(page).without(PageWord::kHeld));
      left.push_back(page);
    }
  }
  ByWay got;
  Pages credit;
  std::size_t at = 0;
  drop(going, credit, [&](Gpn page, PageWord old) {
    const auto [kind, size] = verdicts[at];
    const auto& packed = (*scratch)[at++];
    if (kind != Verdict::Kind::kPacked) return as_known(old, kind, got);
    return as_packed(page, old, std::span(packed).first(size), credit, got);
  });
  stock_.put(credit);
  return got;
}

std::vector<Gpn> GuestMemory::longest_packed(std::size_t most) const {
  std::vector<Gpn> pages;
  for (const u32 owner : store_->oldest(most)) pages.push_back(table_.page_at(owner));
  return pages;
}

PageWord GuestMemory::as_packed(Gpn page, PageWord old, std::span<const std::byte> packed, Pages& credit,
                                ByWay& got) {
  const Pages before = credit;
  const u32 slot = store_->put(static_cast<u32>(table_.index_of(page)), Codec::kLz4, packed, credit);
  got[Way::kCompress] += Pages{1} - (before - credit);
  return old.moved_to(PageState::kCompressed, slot);
}

}  // namespace cloister::memory
