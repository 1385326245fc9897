// SPDX-License-Identifier: Apache-2.0
#pragma once

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
namespace cloister::device::virtio {

inline constexpr u64 kClusterShift = 16;
inline constexpr u64 kClusterSize = u64{1} << kClusterShift;

// Bound: 16 TiB, which is what ext4 allows a file, and has a bitmap of 32 MiB.
inline constexpr Bytes kMaxOverlayDisk{u64{16} << 40};

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

  u64 clusters() const { return (disk_size.raw + kClusterSize - 1) >> kClusterShift; }
  u64 map_offset() const { return kPageSize; }
  Bytes map_size() const { return {round_up(clusters(), kPageSize * 8) / 8}; }
  u64 data_offset() const { return map_offset() + map_size().raw; }
  Bytes file_size() const { return {data_offset() + clusters() * kClusterSize}; }
};

std::array<std::byte, kPageSize> encode_overlay(const OverlayLayout& layout);
// Refused, naming `path` and the remedy: what is no overlay, damaged, or of a version or size not known here.
Result<OverlayLayout> decode_overlay(std::span<const std::byte> header, const std::string& path);

}  // namespace cloister::device::virtio
