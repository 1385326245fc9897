// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstring>
#include <span>

#include "base/units.h"

namespace cloister::device::virtio::net {

// The Internet checksum (RFC 1071) of the bytes, as it stands in memory: the complement of the sum of the
// 16-bit words in ones' complement. A sum in one byte order is the sum in the other, swapped, so words are
// added as they lie, four bytes at a time.
inline u16 internet_checksum(std::span<const std::byte> bytes) {
  u64 sum = 0;
  while (bytes.size() >= 4) {
    u32 word = 0;
    std::memcpy(&word, bytes.data(), 4);
    sum += word;
    bytes = bytes.subspan(4);
  }
  u32 rest = 0;
  if (!bytes.empty()) std::memcpy(&rest, bytes.data(), bytes.size());
  sum += rest;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<u16>(~sum);
}

// Completes a checksum that a guest left to its card: that of the bytes from `start` on, stored `offset`
// after it. 0 is stored as its other form 0xffff, as UDP takes 0 for "none". False when it lies outside the
// frame.
inline bool complete_checksum(std::span<std::byte> frame, u32 start, u32 offset) {
  if (u64{start} + offset + 2 > frame.size()) return false;
  const u16 checksum = internet_checksum(frame.subspan(start));
  const u16 stored = checksum == 0 ? u16{0xffff} : checksum;
  std::memcpy(frame.data() + start + offset, &stored, sizeof stored);
  return true;
}

}  // namespace cloister::device::virtio::net
