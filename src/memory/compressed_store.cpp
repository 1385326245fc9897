// SPDX-License-Identifier: Apache-2.0
// Packed pages that can be taken out again one by one, in frames that really come back
//
// The problem: packed pages have any size up to 3 KiB and leave in any order. Fixed classes of sizes (a slab
// for each) waste what lies between two classes and, worse, keep a frame for as long as one of its pages
// lives: after a few hours most frames hold one. So it is a log. Pages are appended to an open segment of 64
// KiB, whatever their size; a page that leaves makes a hole; and when more than a quarter of all frames is
// holes, the sparsest of a few segments chosen at random moves what is left of it to the end of the log and
// is given back to the host. A byte that leaves so costs at most three bytes of copying, and nothing depends
// on who leaves first. Handles stay when pages move: a table says where each one is now.
//
// The log has a second use: it is sorted by age. What nobody wanted back for longest lies in the oldest
// segment, and that is what condense() packs again, tighter and slower, and what the swap file is fed with.
// Pages that moved or were packed again count as older than all fresh ones, for they have stayed longest.
//
// Moving must not need frames when there are none: the live part of a segment goes through a buffer of the
// store's own, the segment is given back, and its frames pay for the new place.
//
// The segments lie in a file in memory that is mapped nowhere. Packed pages go there a segment at a time and
// come back by a read of each: a call costs less than the fault by which a mapping would get the page, and a
// hole in what nobody maps a tenth of one in what somebody does. The open segments are filled in a buffer.
//
// Locking. The lock is held to copy one packed page, or one segment's when it moves. Packing and unpacking
// are done outside. condense() looks at a page, lets go of the lock, packs it, and looks again whether it is
// still there: a place can only be used again after its segment was released, and that gives it another
// birth.
#include "memory/compressed_store.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace cloister::memory {
namespace {

constexpr int kChoices = 16;  // of which the sparsest segment is moved
// A fuller segment may need more frames at its new place than it sets free: there it may begin in the middle
// of a frame and end in another segment.
constexpr u32 kMovable = 56 * kKiB;
constexpr u64 pages_up(u64 bytes) { return (bytes + kPageMask) >> kPageShift; }

}  // namespace

Result<std::unique_ptr<CompressedStore>> CompressedStore::create(Pages most, FrameStock& stock) {
  os::MemFile file = TRY(
      os::MemFile::create("packed-pages", Bytes{(most.raw / kSegmentFrames + 1 + kSpare) * kSegmentSize}));
  return std::unique_ptr<CompressedStore>(new CompressedStore(std::move(file), stock));
}

bool CompressedStore::has_room() const {
  const MutexLock lock(lock_);
  const u64 used = segments_.size() - free_segments_.size();
  return (used + kSpare) * kSegmentSize <= file_.size().raw;
}

CompressedStore::CompressedStore(os::MemFile file, FrameStock& stock)
    : file_(std::move(file)), stock_(stock) {}

u32 CompressedStore::put(u32 owner, Codec codec, std::span<const std::byte> packed, Pages& credit) {
  const MutexLock lock(lock_);
  const u32 handle = take_handle(owner);
  const Header header{handle, static_cast<u16>(packed.size()), codec};
  append(Kind::kFresh, header, packed, credit);
  packed_.fetch_add(1);
  return handle;
}

void CompressedStore::get(u32 handle, std::span<std::byte, kPageSize> to) const {
  std::array<std::byte, kMostPacked> packed;
  Entry entry;
  {
    const MutexLock lock(lock_);
    entry = entries_[handle];
    CHECK(entry.place != kNowhere && entry.size <= kMostPacked);
    read(entry.place + sizeof(Header), std::span(packed).first(entry.size));
  }
  unpack(entry.codec, std::span(packed).first(entry.size), to);
}

void CompressedStore::drop(u32 handle) {
  Pages freed;
  {
    const MutexLock lock(lock_);
    Entry& entry = entries_[handle];
    CHECK(entry.place != kNowhere);
    freed = forget(entry.place, entry.size);
    entry = {.owner = std::exchange(free_handle_, handle)};
    packed_.fetch_sub(1);
    freed += compact();
  }
  stock_.put(freed);
}

void CompressedStore::read(u64 place, std::span<std::byte> to) const {
  for (std::size_t kind = 0; kind < open_.size(); ++kind) {
    if (open_[kind] != place / kSegmentSize) continue;
    std::memcpy(to.data(), filling_[kind].data() + place % kSegmentSize, to.size());
    return;
  }
  CHECK(file_.read_at(place, to).ok());
}

u32 CompressedStore::take_handle(u32 owner) {
  if (free_handle_ == kNone) {
    entries_.push_back({.owner = owner});
    return static_cast<u32>(entries_.size() - 1);
  }
  const u32 handle = free_handle_;
  free_handle_ = std::exchange(entries_[handle].owner, owner);
  return handle;
}

void CompressedStore::append(Kind kind, Header header, std::span<const std::byte> packed, Pages& credit) {
  const u64 room = room_for(packed.size());
  u32& open = open_[static_cast<std::size_t>(kind)];
  if (open == kNone || segments_[open].filled + room > kSegmentSize) open = open_segment(kind);
  Segment& segment = segments_[open];
  const Pages new_frames{pages_up(segment.filled + room) - pages_up(segment.filled)};
  CHECK(new_frames <= credit);
  credit -= new_frames;
  frames_.fetch_add(new_frames.raw);
  std::byte* to = filling_[static_cast<std::size_t>(kind)].data() + segment.filled;
  std::memcpy(to, &header, sizeof(header));
  std::memcpy(to + sizeof(header), packed.data(), packed.size());
  Entry& entry = entries_[header.handle];
  entry = {u64{open} * kSegmentSize + segment.filled, entry.owner, header.size, header.codec};
  segment.filled += static_cast<u32>(room);
  segment.live += static_cast<u32>(room);
  live_with_headers_ += room;
  live_.fetch_add(packed.size());
}

void CompressedStore::close(Kind kind) {
  const u32 full = std::exchange(open_[static_cast<std::size_t>(kind)], kNone);
  if (full == kNone) return;
  Segment& segment = segments_[full];
  segment.open = false;
  CHECK(file_
            .write_at(full * kSegmentSize,
                      std::span(filling_[static_cast<std::size_t>(kind)]).first(segment.filled))
            .ok());
  const std::pair<u32, u64> by_age{full, segment.born};
  kind == Kind::kFresh ? by_age_.push_back(by_age) : by_age_.push_front(by_age);
}

// Closes the open one of this kind and returns an empty one.
u32 CompressedStore::open_segment(Kind kind) {
  close(kind);
  u32 segment = static_cast<u32>(segments_.size());
  if (free_segments_.empty()) {
    CHECK((segment + 1) * kSegmentSize <= file_.size().raw);
    segments_.emplace_back();
  } else {
    segment = free_segments_.back();
    free_segments_.pop_back();
  }
  segments_[segment] = {.born = ++births_, .filled = 0, .live = 0, .open = true, .condensed = false};
  return segment;
}

// What is at `place` is no longer live. Returns the frames that came free.
Pages CompressedStore::forget(u64 place, std::size_t size) {
  const u32 index = static_cast<u32>(place / kSegmentSize);
  Segment& segment = segments_[index];
  segment.live -= static_cast<u32>(room_for(size));
  live_with_headers_ -= room_for(size);
  live_.fetch_sub(size);
  return segment.live > 0 ? Pages{0} : release(index);
}

Pages CompressedStore::release(u32 index) {
  Segment& segment = segments_[index];
  if (!segment.open) CHECK(file_.punch_hole(index * kSegmentSize, Bytes{kSegmentSize}).ok());
  for (u32& open : open_) {
    if (open == index) open = kNone;
  }
  const Pages freed{pages_up(segment.filled)};
  frames_.fetch_sub(freed.raw);
  segment = {};
  free_segments_.push_back(index);
  // Entries of released segments are passed over when they are met; here they only must not pile up.
  if (by_age_.size() > 2 * segments_.size() + 8)
    std::erase_if(by_age_,
                  [&](const auto& one) REQUIRES(lock_) { return segments_[one.first].born != one.second; });
  return freed;
}

// Keeps the waste below a quarter of all frames. Returns the frames that came free.
Pages CompressedStore::compact() {
  Pages freed;
  while (wasted() > live_with_headers_ / 3 + kSlack * kPageSize) {
    const u32 victim = sparsest();
    if (victim == kNone) break;
    freed += move_all(victim);
  }
  return freed;
}

u32 CompressedStore::sparsest() {
  u32 best = kNone;
  for (int i = 0; i < kChoices; ++i) {
    const u32 one = static_cast<u32>(random_.below(segments_.size()));
    const Segment& segment = segments_[one];
    if (segment.born == 0 || segment.open) continue;
    if (segment.live > kMovable) continue;
    if (best == kNone || segment.live < segments_[best].live) best = one;
  }
  return best;
}

template <typename Each>
void CompressedStore::each_live(u32 segment, Each each) const {
  const u64 first = segment * kSegmentSize;
  read(first, std::span(looked_at_).first(segments_[segment].filled));
  for (u64 at = 0; at < segments_[segment].filled;) {
    Header header;
    std::memcpy(&header, looked_at_.data() + at, sizeof(header));
    const std::byte* packed = looked_at_.data() + at + sizeof(header);
    if (entries_[header.handle].place == first + at) each(first + at, header, packed);
    at += room_for(header.size);
  }
}

Pages CompressedStore::move_all(u32 segment) {
  std::vector<std::pair<Header, u64>> found;
  u64 copied = 0;
  each_live(segment, [&](u64, Header header, const std::byte* packed) REQUIRES(lock_) {
    std::memcpy(moving_.data() + copied, packed, header.size);
    found.emplace_back(header, copied);
    copied += header.size;
    live_with_headers_ -= room_for(header.size);
    live_.fetch_sub(header.size);
  });
  Pages credit = release(segment);
  for (const auto& [header, from] : found) {
    append(Kind::kSettled, header, std::span(moving_).subspan(from, header.size), credit);
  }
  return credit;
}

CompressedStore::Condensed CompressedStore::condense(Pages enough) {
  const u64 before = frames_.load();
  Pages tried;
  while (tried < enough) {
    Pages credit = stock_.try_take(Pages{kSegmentFrames + 1});
    const std::vector<Moving> some = credit.raw > 0 ? oldest_warm() : std::vector<Moving>{};
    for (const Moving& one : some) {
      if (credit.raw > 0) condense_one(one, credit);
    }
    stock_.put(credit);
    if (some.empty()) break;
    tried += Pages{some.size()};
  }
  const u64 now = frames_.load();
  return {tried, {before > now ? before - now : 0}};
}

// The lz4 pages of the oldest closed segment that has some, which is not looked at a second time.
std::vector<CompressedStore::Moving> CompressedStore::oldest_warm() {
  const MutexLock lock(lock_);
  std::vector<Moving> found;
  for (const auto& [index, born] : by_age_) {
    if (!found.empty()) break;
    Segment& segment = segments_[index];
    if (segment.born != born || segment.condensed) continue;
    segment.condensed = true;
    const u64 birth = born;
    each_live(index, [&](u64 place, Header header, const std::byte*) {
      if (header.codec == Codec::kLz4) found.push_back({header.handle, place, birth});
    });
  }
  return found;
}

bool CompressedStore::is_still(const Moving& one) const {
  return entries_[one.handle].place == one.place && segments_[one.place / kSegmentSize].born == one.born;
}

// Does nothing when the page is gone, or does not gain by it.
void CompressedStore::condense_one(const Moving& one, Pages& credit) {
  std::array<std::byte, kMostPacked> packed;
  std::array<std::byte, kPageSize> page;
  std::size_t old_size = 0;
  {
    const MutexLock lock(lock_);
    if (!is_still(one)) return;
    old_size = entries_[one.handle].size;
    read(one.place + sizeof(Header), std::span(packed).first(old_size));
  }
  unpack(Codec::kLz4, std::span(packed).first(old_size), page);
  const std::size_t size = pack(Codec::kZstd, page, packed);
  if (size == 0 || size > old_size * 7 / 8) return;
  Pages freed;
  {
    const MutexLock lock(lock_);
    if (!is_still(one)) return;
    const Header header{one.handle, static_cast<u16>(size), Codec::kZstd};
    append(Kind::kSettled, header, std::span(packed).first(size), credit);
    freed = forget(one.place, old_size);
    freed += compact();
  }
  credit += freed;
}

std::vector<u32> CompressedStore::oldest(std::size_t most) const {
  const MutexLock lock(lock_);
  std::vector<u32> owners;
  const auto add = [&](u32 segment) REQUIRES(lock_) {
    each_live(segment, [&](u64, Header header, const std::byte*) REQUIRES(lock_) {
      if (owners.size() < most) owners.push_back(entries_[header.handle].owner);
    });
  };
  for (const auto& [index, born] : by_age_) {
    if (owners.size() >= most) break;
    if (segments_[index].born == born) add(index);
  }
  for (const Kind kind : {Kind::kSettled, Kind::kFresh}) {
    if (const u32 open = open_[static_cast<std::size_t>(kind)]; open != kNone) add(open);
  }
  return owners;
}

void CompressedStore::check_invariants() const {
  const MutexLock lock(lock_);
  u64 frames = 0, live = 0, pages = 0;
  for (u32 i = 0; i < segments_.size(); ++i) {
    u64 here = 0;
    each_live(i, [&](u64, Header header, const std::byte*) {
      here += room_for(header.size);
      ++pages;
    });
    CHECK(here == segments_[i].live);
    CHECK(segments_[i].born != 0 || segments_[i].filled == 0);
    frames += pages_up(segments_[i].filled);
    live += here;
  }
  CHECK(frames == frames_.load() && live == live_with_headers_ && pages == packed_.load());
  CHECK(file_.allocated() <= bytes_of(Pages{frames}));
}

}  // namespace cloister::memory
