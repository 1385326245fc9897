// SPDX-License-Identifier: Apache-2.0
// Pages of a balloon value in an overlay
//
// Which value. It is another one each time that the machine is switched on, and a page reads as the one that
// was written. So the file has a table of the values' heads, a page's entry says which, and a number gets a
// new head only when no page of the file has it. Where all are taken, or the file has no room for tables,
// pages are stored as any others. In one cluster all are of one value: of a second one they are stored until
// the first is gone there.
//
// Crashes. Entries go to the file in flush(), after the bits of clusters: where a page is no value any more,
// its bytes and its cluster's bit are on the disk before. What was at the place of a page stays there until
// the entry is on the disk, for a crash before that makes the page again what it was. Then its space is given
// back, unless the page was something else meanwhile: that it is again what the file says is sure as long as
// no other flush has begun.
//
// Who reads at that moment may have seen the page before it was the value, and finds the hole. So holes are
// counted before they are made, and whoever read while one was looks again.
#include <algorithm>
#include <bit>

#include "base/check.h"
#include "base/log.h"
#include "device/virtio/block/overlay_image.h"

namespace cloister::device::virtio {
namespace {

// The bits of pages `first` to `end` of a cluster.
u16 bits(u64 first, u64 end) { return static_cast<u16>((u32{1} << end) - (u32{1} << first)); }

// Of the pages of which a range, which lies in one cluster, has a part.
u16 pages_touched(u64 offset, u64 size) {
  const u64 begin = offset & kInCluster;
  return bits(begin >> kPageShift, (begin + size + kPageMask) >> kPageShift);
}

// Calls part(page, offset, bytes) for each page's share of a range, in order, while it succeeds.
template <typename Part>
Result<void> each_page(u64 offset, u64 size, Part part) {
  while (size > 0) {
    const u64 step = std::min(size, kPageSize - (offset & kPageMask));
    TRY(part((offset & kInCluster) >> kPageShift, offset, step));
    offset += step;
    size -= step;
  }
  return {};
}

// What a page of the value has from `in_page` on.
void fill_with_value(const OverlayMark& mark, u64 in_page, std::span<std::byte> to) {
  std::fill(to.begin(), to.end(), std::byte{0});
  if (in_page >= mark.size()) return;
  const u64 count = std::min<u64>(mark.size() - in_page, to.size());
  std::copy_n(mark.begin() + static_cast<std::ptrdiff_t>(in_page), count, to.begin());
}

}  // namespace

bool OverlayImage::has_values(u64 offset, u64 size) const {
  return (values_.at(offset >> kClusterShift).pages & pages_touched(offset, size)) != 0;
}

Result<void> OverlayImage::read_in_cluster(u64 offset, std::span<std::byte> to) {
  const u64 cluster = offset >> kClusterShift;
  for (;;) {
    const u64 holes = holes_.load();
    const ValueMap::Entry values = values_.at(cluster);
    if ((pages_touched(offset, to.size()) & ~values.pages) != 0)
      TRY(map_.has(cluster) ? file_.read_at(place_of(offset), to) : base_.read_at(offset, to));
    TRY(each_page(offset, to.size(), [&](u64 page, u64 at, u64 count) -> Result<void> {
      if ((values.pages >> page & 1) != 0)
        fill_with_value(marks_[values.mark], at & kPageMask, to.subspan(at - offset, count));
      return {};
    }));
    if (holes == holes_.load()) return {};
  }
}

// The range was written, and what was a value there is none any more. Where a page was written in part, the
// rest of it gets the value's bytes. Precondition: the cluster's stripe is held.
Result<void> OverlayImage::end_values(u64 offset, std::span<const std::byte> from) {
  const u64 cluster = offset >> kClusterShift;
  ValueMap::Entry values = values_.at(cluster);
  TRY(each_page(offset, from.size(), [&](u64 page, u64 at, u64 count) -> Result<void> {
    if ((values.pages >> page & 1) == 0 || count == kPageSize) return {};
    std::array<std::byte, kPageSize> whole;
    fill_with_value(marks_[values.mark], 0, whole);
    const auto part = from.subspan(at - offset, count);
    std::copy(part.begin(), part.end(), whole.begin() + static_cast<std::ptrdiff_t>(at & kPageMask));
    return file_.write_at(place_of(at & ~kPageMask), whole);
  }));
  values.pages &= static_cast<u16>(~pages_touched(offset, from.size()));
  values_.put(cluster, values.pages == 0 ? ValueMap::Entry{} : values);
  return {};
}

// -- Writes of the value ----------------------------------------------------------------------------------

void OverlayImage::expect_value(std::span<const std::byte> page) {
  CHECK(page.size() == kPageSize);
  CHECK(std::all_of(page.begin() + sizeof(OverlayMark), page.end(),
                    [](std::byte b) { return b == std::byte{0}; }));
  expected_ = page.first<sizeof(OverlayMark)>();
}

Result<void> OverlayImage::write_value(u64 offset, std::span<const std::byte> pages) {
  if ((offset & kPageMask) != 0 || own_number() == 0) return write(offset, pages);
  return each_cluster(offset, pages.size(), [&](u64 at, u64 count) -> Result<void> {
    if (elide(at, count)) return {};
    return write_in_cluster(at, pages.subspan(at - offset, count));
  });
}

// False: pages of another value are in that cluster.
bool OverlayImage::elide(u64 offset, u64 size) {
  const u64 cluster = offset >> kClusterShift;
  const u16 pages = pages_touched(offset, size);
  MutexLock lock(stripe_of(cluster));
  ValueMap::Entry values = values_.at(cluster);
  if ((values.pages & ~pages) != 0 && values.mark != own_number()) return false;
  values.pages |= pages;
  values.mark = own_number();
  values.full |= map_.has(cluster);
  values_.put(cluster, values);
  elided_ += size >> kPageShift;
  return true;
}

u8 OverlayImage::own_number() {
  int number = own_number_.load();
  if (number != kUnknown) return static_cast<u8>(number);
  MutexLock lock(flush_mutex_);
  if (own_number_ != kUnknown) return static_cast<u8>(own_number_.load());
  const auto prepared = prepare_for_values();
  if (!prepared.ok())
    log(LogLevel::kWarning, "{}; pages that a guest's balloon swaps out take their space on the disk",
        prepared.failure().message);
  own_number_ = prepared.ok() ? *prepared : 0;
  return static_cast<u8>(own_number_.load());
}

// The head of the value is on the disk before any page's entry, and the header before that.
Result<u8> OverlayImage::prepare_for_values() {
  if (expected_.empty()) return u8{0};
  u64 number = 1;
  const auto is_ours = [&](u64 one) {
    return std::equal(expected_.begin(), expected_.end(), marks_[one].begin());
  };
  while (number < kOverlayMarks && values_.uses(static_cast<u8>(number)) && !is_ours(number)) ++number;
  if (number == kOverlayMarks)
    return error("overlay '{}' has pages of as many values as it can", file_.path());
  OverlayLayout layout = layout_;
  TRY(file_.reserve(layout.values_offset(), {layout.values_size().raw + layout.marks_size().raw}));
  std::copy(expected_.begin(), expected_.end(), marks_[number].begin());
  TRY(file_.write_at(layout.marks_offset() + number * sizeof(OverlayMark), marks_[number]));
  TRY(file_.sync_data());
  if (layout.format == kPlainOverlay) {
    layout.format = kOverlayWithValues;
    TRY(file_.write_at(0, encode_overlay(layout)));
    TRY(file_.sync_data());
  }
  return static_cast<u8>(number);
}

// -- Space ------------------------------------------------------------------------------------------------

void OverlayImage::give_space_back(const std::vector<ValueMap::Part>& saved, u64 flush) {
  for (const ValueMap::Part& part : saved) {
    for (u64 i = 0; i < ValueMap::kEntries; ++i) {
      const ValueMap::Entry entry = part.entries[i];
      if (entry.full) give_space_back(part.index * ValueMap::kEntries + i, entry.pages, flush);
    }
  }
}

// `saved`: the cluster's pages of a value by the file.
void OverlayImage::give_space_back(u64 cluster, u16 saved, u64 flush) {
  MutexLock lock(stripe_of(cluster));
  ValueMap::Entry values = values_.at(cluster);
  u32 empty = saved & values.pages;
  if (empty == 0 || flushes_ != flush) return;
  ++holes_;
  values.full = (values.pages & ~saved) != 0;
  while (empty != 0) {
    const auto first = static_cast<u64>(std::countr_zero(empty));
    const auto count = static_cast<u64>(std::countr_one(empty >> first));
    const u64 place = place_of((cluster << kClusterShift) + first * kPageSize);
    if (!file_.punch_hole(place, {count * kPageSize}).ok()) values.full = true;
    empty &= ~u32{bits(first, first + count)};
  }
  values_.put(cluster, values);
}

}  // namespace cloister::device::virtio
