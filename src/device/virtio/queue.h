// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/units.h"
#include "memory/guest_memory.h"

namespace cloister::device::virtio {

struct Segment {
  GuestPhys address;
  u32 length = 0;
};

// One buffer from the driver: a list of segments that the device reads, then one that it writes.
// Every segment lies in guest memory and none is empty. Bound: at most kMaxSegments, 2^32 - 1 bytes in all.
class Chain {
 public:
  // Linux's longest chains (9p with a large msize) have 128 + 2; 1024 is the most that preadv() takes.
  static constexpr u32 kMaxSegments = 1024;

  u32 readable() const { return readable_; }  // bytes left to read
  u32 writable() const { return writable_; }  // bytes left to write
  u32 written() const { return written_; }    // bytes written so far: what push() reports

  // Takes the next bytes in order. False, with nothing taken, when fewer are left.
  bool read(std::span<std::byte> to);
  bool write(std::span<const std::byte> from);

  // In-place I/O: use(run), a std::span of bytes in the guest's frames, for each run of the next `bytes`
  // bytes, pinned for the time of the call; one that is there to be written must be written whole. Takes the
  // bytes. Stops when `use` returns false, and returns false then. Precondition: as many are left.
  template <typename Use>
  bool read_in_place(u32 bytes, Use&& use) {
    return each_segment(bytes, memory::Access::kRead,
                        [&](std::span<const std::byte> run) { return use(run); });
  }
  template <typename Use>
  bool write_in_place(u32 bytes, Use&& use) {
    return each_segment(bytes, memory::Access::kWrite, use);
  }

  // What is left, as it lies. skip_* after it says how much of it was used; at most what is
  // left.
  std::span<const Segment> readable_segments() const;
  std::span<const Segment> writable_segments() const;
  void skip_readable(u32 bytes);
  void skip_writable(u32 bytes);

 private:
  friend class Queue;
  friend class SplitQueue;
  friend class PackedQueue;
  explicit Chain(memory::GuestMemory& memory) : memory_(&memory) {}

  template <typename Use>
  bool each_segment(u32 bytes, memory::Access access, Use&& use) {
    while (bytes > 0) {
      const bool write = access == memory::Access::kWrite;
      const Segment next = (write ? writable_segments() : readable_segments()).front();
      const u32 count = std::min(bytes, next.length);
      if (!memory_->with_pinned(next.address, Bytes{count}, access, use)) return false;
      write ? skip_writable(count) : skip_readable(count);
      bytes -= count;
    }
    return true;
  }

  memory::GuestMemory* memory_;
  std::vector<Segment> segments_;  // first the readable ones; a segment shrinks from its front as it is used
  u32 first_writable_ = 0;         // where in segments_
  u32 read_at_ = 0;                // the first segment that has bytes left to read
  u32 write_at_ = 0;
  u32 readable_ = 0;
  u32 writable_ = 0;
  u32 written_ = 0;
  u16 id_ = 0;           // split: head descriptor; packed: buffer id
  u16 descriptors_ = 0;  // ring slots that it takes
};

// Where a driver put a ring: its table of descriptors, its own area (available ring, or driver event
// suppression) and the device's (used ring, or device event suppression).
struct RingLayout {
  u32 size = 0;
  GuestPhys descriptors;
  GuestPhys driver;
  GuestPhys device;
};

// A virtqueue, split or packed (virtio 1.2, 2.7 and 2.8). Not thread safe: its device's lock guards it.
class Queue {
 public:
  // `broken` is called once, from within the call that finds the ring broken, and names the reason.
  using Broken = std::function<void(std::string_view why)>;

  // Nothing when `layout` is no ring: a size of 0, too large or (split) no power of two, misaligned, or not
  // in memory. `features` are the negotiated ones.
  static std::unique_ptr<Queue> create(memory::GuestMemory& memory, const RingLayout& layout, u64 features,
                                       Broken broken);
  // One that never has a buffer.
  static std::unique_ptr<Queue> create_empty();

  virtual ~Queue() = default;
  Queue(const Queue&) = delete;
  Queue& operator=(const Queue&) = delete;

  u32 size() const { return layout_.size; }
  // Whether pop() would find nothing. A broken queue is empty.
  virtual bool empty() = 0;
  // The next available buffer; nothing when there is none, or when the driver broke the ring (broken()).
  // Bound: at most size() buffers are out at a time, so what a device keeps of them is bounded too.
  virtual std::optional<Chain> pop() = 0;
  // Puts the last popped buffer back: it was looked at only. Precondition: nothing was popped or pushed
  // since.
  virtual void undo_pop() = 0;
  // Hands a buffer back. Buffers may come back in any order; each popped one must, until reset.
  void push(const Chain& chain) { push_all({&chain, 1}); }
  // The same for several, of which the driver sees either none or all: a network card's merged buffers.
  virtual void push_all(std::span<const Chain> chains) = 0;
  // Whether the driver wants an interrupt for what was pushed since the last call.
  virtual bool wants_interrupt() = 0;
  // Asks to be told (true), or not (false), of new buffers. After true, look again: one may have come
  // meanwhile.
  virtual void enable_notification(bool enable) = 0;
  bool broken() const { return broken_; }

 protected:
  Queue(memory::GuestMemory* memory, const RingLayout& layout, u64 features, Broken on_broken);

  // Notes that the driver broke the ring; always false.
  bool broke(std::string_view why);
  // Adds what one descriptor says; false when it broke a rule.
  bool append(Chain& chain, const Segment& segment, bool writable);

  memory::GuestMemory* const memory_;
  const RingLayout layout_;
  const bool indirect_;
  const bool event_index_;
  bool broken_ = false;
  Broken on_broken_;
};

}  // namespace cloister::device::virtio
