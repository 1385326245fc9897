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
  os::Mapping arena = TRY(file.map(os::Protection::kReadWrite));
  return std::unique_ptr<CompressedStore>(new CompressedStore(std::move(file), std::move(arena), stock));
}

bool CompressedStore::has_room() const {
  const MutexLock lock(lock_);
  const u64 used = segments_.size() - free_segments_.size();
  return (used + kSpare) * kSegmentSize <= arena_.size().raw;
}

CompressedStore::CompressedStore(os::MemFile file, os::Mapping arena, FrameStock& stock)
    : file_(std::move(file)), arena_(std::move(arena)), stock_(stock) {}

u32 CompressedStore::put(u32 owner, Codec codec, std::span<const std::byte> packed, Pages& credit) {
  const MutexLock lock(lock_);
  const u32 handle = take_handle(owner);
  const Header header{handle, static_cast<u16>(packed.size()), codec};
  entries_[handle].place = append(Kind::kFresh, header, packed, credit);
  packed_.fetch_add(1);
  return handle;
}

void CompressedStore::get(u32 handle, std::span<std::byte, kPageSize> to) const {
  std::array<std::byte, kMostPacked> packed;
  Header header;
  {
    const MutexLock lock(lock_);
    const u64 place = entries_[handle].place;
    header = header_at(place);
    CHECK(header.handle == handle && header.size <= kMostPacked);
    std::memcpy(packed.data(), at(place + sizeof(Header)), header.size);
  }
  unpack(header.codec, std::span(packed).first(header.size), to);
}

void CompressedStore::drop(u32 handle) {
  Pages freed;
  {
    const MutexLock lock(lock_);
    Entry& entry = entries_[handle];
    CHECK(entry.place != kNowhere);
    freed = forget(entry.place);
    entry = {kNowhere, std::exchange(free_handle_, handle)};
    packed_.fetch_sub(1);
    freed += compact();
  }
  stock_.put(freed);
}

CompressedStore::Header CompressedStore::header_at(u64 place) const {
  Header header;
  std::memcpy(&header, at(place), sizeof(header));
  return header;
}

u32 CompressedStore::take_handle(u32 owner) {
  if (free_handle_ == kNone) {
    entries_.push_back({kNowhere, owner});
    return static_cast<u32>(entries_.size() - 1);
  }
  const u32 handle = free_handle_;
  free_handle_ = std::exchange(entries_[handle].owner, owner);
  return handle;
}

u64 CompressedStore::append(Kind kind, Header header, std::span<const std::byte> packed, Pages& credit) {
  const u64 room = room_for(packed.size());
  u32& open = open_[static_cast<std::size_t>(kind)];
  if (open == kNone || segments_[open].filled + room > kSegmentSize) open = open_segment(kind);
  Segment& segment = segments_[open];
  const Pages new_frames{pages_up(segment.filled + room) - pages_up(segment.filled)};
  CHECK(new_frames <= credit);
  credit -= new_frames;
  frames_.fetch_add(new_frames.raw);
  const u64 place = u64{open} * kSegmentSize + segment.filled;
  std::memcpy(at(place), &header, sizeof(header));
  std::memcpy(at(place + sizeof(header)), packed.data(), packed.size());
  segment.filled += static_cast<u32>(room);
  segment.live += static_cast<u32>(room);
  live_with_headers_ += room;
  live_.fetch_add(packed.size());
  return place;
}

// Closes the open one of this kind and returns an empty one.
u32 CompressedStore::open_segment(Kind kind) {
  if (const u32 full = open_[static_cast<std::size_t>(kind)]; full != kNone) {
    Segment& old = segments_[full];
    old.open = false;
    const std::pair<u32, u64> by_age{full, old.born};
    kind == Kind::kFresh ? by_age_.push_back(by_age) : by_age_.push_front(by_age);
  }
  u32 segment = static_cast<u32>(segments_.size());
  if (free_segments_.empty()) {
    CHECK((segment + 1) * kSegmentSize <= arena_.size().raw);
    segments_.emplace_back();
  } else {
    segment = free_segments_.back();
    free_segments_.pop_back();
  }
  segments_[segment] = {.born = ++births_, .filled = 0, .live = 0, .open = true, .condensed = false};
  return segment;
}

// What is at `place` is no longer live. Returns the frames that came free.
Pages CompressedStore::forget(u64 place) {
  const Header header = header_at(place);
  const u32 index = static_cast<u32>(place / kSegmentSize);
  Segment& segment = segments_[index];
  segment.live -= static_cast<u32>(room_for(header.size));
  live_with_headers_ -= room_for(header.size);
  live_.fetch_sub(header.size);
  if (segment.live > 0) return {0};
  for (u32& open : open_) {
    if (open == index) open = kNone;
  }
  return release(index);
}

Pages CompressedStore::release(u32 index) {
  Segment& segment = segments_[index];
  CHECK(file_.punch_hole(index * kSegmentSize, Bytes{kSegmentSize}).ok());
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
  for (u64 at = first; at < first + segments_[segment].filled;) {
    const Header header = header_at(at);
    if (entries_[header.handle].place == at) each(at, header);
    at += room_for(header.size);
  }
}

Pages CompressedStore::move_all(u32 segment) {
  std::vector<std::pair<Header, u64>> found;
  u64 copied = 0;
  each_live(segment, [&](u64 place, Header header) REQUIRES(lock_) {
    std::memcpy(moving_.data() + copied, at(place + sizeof(Header)), header.size);
    found.emplace_back(header, copied);
    copied += header.size;
    live_with_headers_ -= room_for(header.size);
    live_.fetch_sub(header.size);
  });
  Pages credit = release(segment);
  for (const auto& [header, from] : found) {
    entries_[header.handle].place =
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
    each_live(index, [&](u64 place, Header header) {
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
    old_size = header_at(one.place).size;
    std::memcpy(packed.data(), at(one.place + sizeof(Header)), old_size);
  }
  unpack(Codec::kLz4, std::span(packed).first(old_size), page);
  const std::size_t size = pack(Codec::kZstd, page, packed);
  if (size == 0 || size > old_size * 7 / 8) return;
  Pages freed;
  {
    const MutexLock lock(lock_);
    if (!is_still(one)) return;
    const Header header{one.handle, static_cast<u16>(size), Codec::kZstd};
    entries_[one.handle].place = append(Kind::kSettled, header, std::span(packed).first(size), credit);
    freed = forget(one.place);
    freed += compact();
  }
  credit += freed;
}

std::vector<u32> CompressedStore::oldest(std::size_t most) const {
  const MutexLock lock(lock_);
  std::vector<u32> owners;
  const auto add = [&](u32 segment) REQUIRES(lock_) {
    each_live(segment, [&](u64, Header header) REQUIRES(lock_) {
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
    each_live(i, [&](u64, Header header) {
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
