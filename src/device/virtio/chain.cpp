// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include "base/check.h"
#include "device/virtio/queue.h"

namespace cloister::device::virtio {
namespace {

// Takes `bytes` from the front of segments[at...], at most what is left in them.
void skip(std::span<Segment> segments, u32& at, u32 bytes) {
  while (bytes > 0) {
    Segment& segment = segments[at];
    const u32 step = std::min(bytes, segment.length);
    segment = {segment.address + step, segment.length - step};
    bytes -= step;
    if (segment.length == 0) ++at;
  }
}

// Walks the next `bytes` of the segments: move(address, offset, count) for each piece, while it returns true.
template <typename Move>
bool each_piece(std::span<const Segment> segments, std::size_t bytes, Move move) {
  std::size_t done = 0;
  for (const Segment& segment : segments) {
    if (done == bytes) break;
    const std::size_t count = std::min<std::size_t>(bytes - done, segment.length);
    if (!move(segment.address, done, count)) return false;
    done += count;
  }
  return done == bytes;
}

}  // namespace

std::span<const Segment> Chain::readable_segments() const {
  return std::span(segments_).subspan(read_at_, first_writable_ - read_at_);
}

std::span<const Segment> Chain::writable_segments() const { return std::span(segments_).subspan(write_at_); }

void Chain::skip_readable(u32 bytes) {
  CHECK(bytes <= readable_);
  skip(segments_, read_at_, bytes);
  readable_ -= bytes;
}

void Chain::skip_writable(u32 bytes) {
  CHECK(bytes <= writable_);
  skip(segments_, write_at_, bytes);
  writable_ -= bytes;
  written_ += bytes;
}

bool Chain::read(std::span<std::byte> to) {
  if (to.size() > readable_) return false;
  const bool whole = each_piece(readable_segments(), to.size(), [&](GuestPhys from, auto at, auto count) {
    return memory_->read(from, to.subspan(at, count));
  });
  if (whole) skip_readable(static_cast<u32>(to.size()));
  return whole;
}

bool Chain::write(std::span<const std::byte> from) {
  if (from.size() > writable_) return false;
  const bool whole = each_piece(writable_segments(), from.size(), [&](GuestPhys to, auto at, auto count) {
    return memory_->write(to, from.subspan(at, count));
  });
  if (whole) skip_writable(static_cast<u32>(from.size()));
  return whole;
}

}  // namespace cloister::device::virtio
