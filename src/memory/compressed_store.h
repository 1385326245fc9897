// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/lock.h"
#include "base/os/mem_file.h"
#include "base/random.h"
#include "base/result.h"
#include "base/units.h"
#include "memory/codec.h"
#include "memory/frame_stock.h"

namespace cloister::memory {

// Packed pages, one after the other in segments of 64 KiB (essay in compressed_store.cpp). Thread safe.
// Its frames count as the VM's: they are taken from the caller's credit or the stock, and go back to the
// stock. Lock rank: kCompressedStore, for a copy of one packed page or of one segment.
//
// Invariant: frames() <= what is live / (3/4) + two open segments + kSlack; what the host holds <= frames().
class CompressedStore {
 public:
  // Of at most about `most` frames. Holds nothing until put().
  static Result<std::unique_ptr<CompressedStore>> create(Pages most, FrameStock& stock);

  // Whether at least a thousand more pages may be put.
  bool has_room() const;

  // Keeps a packed page for `owner`; returns its handle. Takes at most one frame from `credit`.
  // Precondition: credit is at least 1; has_room() was true less than a thousand put()s ago.
  u32 put(u32 owner, Codec codec, std::span<const std::byte> packed, Pages& credit);
  // Unpacks it. Precondition of both: the handle is the caller's to drop, and nobody drops it meanwhile.
  void get(u32 handle, std::span<std::byte, kPageSize> to) const;
  void drop(u32 handle);

  // Packs the pages that are lz4 with zstd, from the oldest on, until it has tried at least `enough`. Tells
  // how many it tried (0: there are none, or no frame to begin with) and by how many frames the store shrank.
  struct Condensed {
    Pages tried;
    Pages freed;
  };
  Condensed condense(Pages enough);
  // The owners of up to `most` pages, from the oldest on. They may be gone by the time that the caller looks.
  std::vector<u32> oldest(std::size_t most) const;

  Pages packed() const { return {packed_.load()}; }
  Pages frames() const { return {frames_.load()}; }
  Bytes live() const { return {live_.load()}; }  // without headers
  Bytes allocated() const { return file_.allocated(); }
  void check_invariants() const;

 private:
  static constexpr u64 kSegmentFrames = 16;
  static constexpr u64 kSegmentSize = kSegmentFrames * kPageSize;
  static constexpr u64 kSlack = 2 * kSegmentFrames;
  static constexpr u64 kSpare = 64;  // segments, beyond which there is no room: 1,300 pages and the open ones

  struct Header {  // before each packed page; both in multiples of 8 bytes
    u32 handle;
    u16 size;
    Codec codec;
  };
  struct Entry {  // where a handle's packed page is; when free, `owner` is the next free handle
    u64 place = kNowhere;
    u32 owner = 0;
    u16 size = 0;
    Codec codec = Codec::kLz4;
  };
  using Content = std::array<std::byte, kSegmentSize>;
  struct Segment {
    u64 born = 0;    // counts up; 0: not in use
    u32 filled = 0;  // bytes from its start
    u32 live = 0;    // bytes of it that are live, headers too
    bool open = false;
    bool condensed = false;  // nothing in it is worth another try
  };
  enum class Kind : u8 { kFresh, kSettled };  // just packed; moved or packed again: older than all fresh ones
  struct Moving {
    u32 handle;
    u64 place, born;
  };
  static constexpr u64 kNowhere = ~u64{0};
  static constexpr u32 kNone = ~u32{0};

  CompressedStore(os::MemFile file, FrameStock& stock);

  static u64 room_for(std::size_t size) { return (sizeof(Header) + size + 7) & ~u64{7}; }
  void read(u64 place, std::span<std::byte> to) const REQUIRES(lock_);
  u32 take_handle(u32 owner) REQUIRES(lock_);
  void append(Kind kind, Header header, std::span<const std::byte> packed, Pages& credit) REQUIRES(lock_);
  u32 open_segment(Kind kind) REQUIRES(lock_);
  void close(Kind kind) REQUIRES(lock_);
  Pages forget(u64 place, std::size_t size) REQUIRES(lock_);
  Pages release(u32 segment) REQUIRES(lock_);
  Pages compact() REQUIRES(lock_);
  u32 sparsest() REQUIRES(lock_);
  Pages move_all(u32 segment) REQUIRES(lock_);
  std::vector<Moving> oldest_warm();
  void condense_one(const Moving& one, Pages& credit);
  bool is_still(const Moving& one) const REQUIRES(lock_);
  template <typename Each>
  void each_live(u32 segment, Each each) const REQUIRES(lock_);
  u64 wasted() const REQUIRES(lock_) { return frames_.load() * kPageSize - live_with_headers_; }

  os::MemFile file_;
  FrameStock& stock_;
  std::atomic<u64> packed_{0}, frames_{0}, live_{0};
  mutable Mutex lock_{LockRank::kCompressedStore};
  Random random_ GUARDED_BY(lock_){1};
  std::vector<Entry> entries_ GUARDED_BY(lock_);
  u32 free_handle_ GUARDED_BY(lock_) = kNone;
  std::vector<Segment> segments_ GUARDED_BY(lock_);
  std::vector<u32> free_segments_ GUARDED_BY(lock_);
  std::array<u32, 2> open_ GUARDED_BY(lock_){kNone, kNone};
  std::deque<std::pair<u32, u64>> by_age_ GUARDED_BY(lock_);  // closed segments and when they were born
  u64 births_ GUARDED_BY(lock_) = 0;
  u64 live_with_headers_ GUARDED_BY(lock_) = 0;
  std::array<Content, 2> filling_ GUARDED_BY(lock_);  // of the open ones, until they are full
  mutable Content looked_at_ GUARDED_BY(lock_);
  Content moving_ GUARDED_BY(lock_);
};

}  // namespace cloister::memory
