// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <string>

#include "base/result.h"
#include "base/units.h"

// An overlay file, little-endian:
//
//        0  header, one page (struct OverlayHeader, the rest zeros)
//     4096  a bit for each cluster of the disk, least significant first: set when the overlay holds the
//           cluster. Whole pages, their space reserved when the file is made
//     data  the clusters, each at the place that it has on the disk: cluster n at data + n * 64 KiB. What
//           was never written is a hole, so the file takes no more space than what it holds
//
// So far format 1. In format 2, which a file gets when something is first kept there, behind the data:
//
//   values  four bytes for each cluster: which of its 16 pages hold nothing but a balloon value (a bit each),
//           which value (a number of one byte, not 0), and 0; all 0: none does. Such a page reads as the
//           value, whatever lies at its place. Whole pages, their space reserved
//    marks  256 times 32 bytes: the head of the value of that number, whose rest is zeros. Number 0 is unused
namespace cloister::device::virtio {

inline constexpr u64 kClusterShift = 16;
inline constexpr u64 kClusterSize = u64{1} << kClusterShift;
inline constexpr u64 kInCluster = kClusterSize - 1;

// Calls part(offset, bytes) for each cluster's share of a range, in order, while it succeeds.
template <typename Part>
Result<void> each_cluster(u64 offset, u64 size, Part part) {
  while (size > 0) {
    const u64 step = std::min(size, kClusterSize - (offset & kInCluster));
    TRY(part(offset, step));
    offset += step;
    size -= step;
  }
  return {};
}

// Bound: 16 TiB, which is what ext4 allows a file, and has a bitmap of 32 MiB.
inline constexpr Bytes kMaxOverlayDisk{u64{16} << 40};

inline constexpr u32 kPlainOverlay = 1, kOverlayWithValues = 2;  // formats
inline constexpr u64 kOverlayValueBytes = 4;
inline constexpr u64 kOverlayMarks = 256;
using OverlayMark = std::array<std::byte, 32>;

struct OverlayHeader {
  std::array<char, 8> magic;
  u32 version;
  u32 cluster_shift;
  u64 disk_size;      // bytes
  u64 base_modified;  // the base file's time of last change when the overlay was made, ns since 1970
  u64 checksum;       // of all before it: 64-bit FNV-1a
};
static_assert(sizeof(OverlayHeader) == 40);

// What a header says, and where the parts of its file are.
struct OverlayLayout {
  Bytes disk_size;
  Nanos base_modified;
  u32 format = kPlainOverlay;

  u64 clusters() const { return (disk_size.raw + kClusterSize - 1) >> kClusterShift; }
  u64 map_offset() const { return kPageSize; }
  Bytes map_size() const { return {round_up(clusters(), kPageSize * 8) / 8}; }
  u64 data_offset() const { return map_offset() + map_size().raw; }
  u64 values_offset() const { return data_offset() + clusters() * kClusterSize; }
  Bytes values_size() const { return {round_up(clusters() * kOverlayValueBytes, kPageSize)}; }
  u64 marks_offset() const { return values_offset() + values_size().raw; }
  Bytes marks_size() const { return {kOverlayMarks * sizeof(OverlayMark)}; }
  Bytes plain_size() const { return {values_offset()}; }
  Bytes size_with_values() const { return {marks_offset() + marks_size().raw}; }
  // Behind a plain one there may be room for values that nobody came to use.
  bool may_have(Bytes size) const {
    return size == size_with_values() || (format == kPlainOverlay && size == plain_size());
  }
};

std::array<std::byte, kPageSize> encode_overlay(const OverlayLayout& layout);
// Refused, naming `path` and the remedy: what is no overlay, damaged, or of a version or size not known here.
Result<OverlayLayout> decode_overlay(std::span<const std::byte> header, const std::string& path);

}  // namespace cloister::device::virtio
