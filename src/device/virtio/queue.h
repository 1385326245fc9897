// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "memory/guest_memory.h"

namespace cloister::device::virtio {

struct Segment {
  GuestPhys address;
  u32 length = 0;
};

// One buffer from the driver: a list of segments that the device reads, then one that it writes.
// Every segment lies in guest memory; Bound: at most 1024 segments, 2^32 - 1 bytes in all.
class Chain {
 public:
  u32 readable() const;  // bytes left to read
  u32 writable() const;  // bytes left to write
  u32 written() const;   // bytes written so far: what push() reports

  // Takes the next bytes in order. False, with nothing taken, when fewer are left.
  bool read(std::span<std::byte> to);
  bool write(std::span<const std::byte> from);

  // In-place I/O: what is left, as it lies. skip_* after it says how much of it was used.
  std::span<const Segment> readable_segments() const;
  std::span<const Segment> writable_segments() const;
  void skip_readable(u32 bytes);
  void skip_writable(u32 bytes);
};

// A virtqueue, split or packed (virtio 1.2, 2.7 and 2.8). Not thread safe.
class Queue {
 public:
  virtual ~Queue() = default;
  // The next available buffer; nothing when there is none, or when the driver broke the ring (broken()).
  virtual std::optional<Chain> pop() = 0;
  // Puts the last popped buffer back: it was looked at only.
  virtual void undo_pop() = 0;
  // Hands a buffer back. Buffers may come back in any order.
  virtual void push(const Chain& chain) = 0;
  // Whether the driver wants an interrupt for what was pushed since the last call.
  virtual bool wants_interrupt() = 0;
  // Asks to be told (true), or not (false), of new buffers. After true, look again: one may have come meanwhile.
  virtual void enable_notification(bool enable) = 0;
  bool broken() const { return broken_; }

 protected:
  bool broken_ = false;
};

}  // namespace cloister::device::virtio
