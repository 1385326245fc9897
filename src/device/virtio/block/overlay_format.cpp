// SPDX-License-Identifier: Apache-2.0
#include "device/virtio/block/overlay_format.h"

#include <cstddef>
#include <cstring>

#include "base/size.h"

namespace cloister::device::virtio {
namespace {

constexpr std::array<char, 8> kMagic = {'C', 'L', 'O', 'V', 'R', 'L', 'A', 'Y'};

u64 checksum(const OverlayHeader& header) {
  const auto bytes = std::as_bytes(std::span(&header, 1)).first(offsetof(OverlayHeader, checksum));
  u64 sum = 0xcbf29ce484222325;
  for (const std::byte byte : bytes) sum = (sum ^ static_cast<u64>(byte)) * 0x100000001b3;
  return sum;
}

}  // namespace

std::array<std::byte, kPageSize> encode_overlay(const OverlayLayout& layout) {
  OverlayHeader header{kMagic, layout.format, kClusterShift, layout.disk_size.raw, layout.base_modified.raw,
                       0};
  header.checksum = checksum(header);
  std::array<std::byte, kPageSize> page{};
  std::memcpy(page.data(), &header, sizeof(header));
  return page;
}

Result<OverlayLayout> decode_overlay(std::span<const std::byte> bytes, const std::string& path) {
  OverlayHeader header{};
  if (bytes.size() < sizeof(header)) {
    return error("'{}' is no overlay: it is too short; name another file, or none to have one made", path);
  }
  std::memcpy(&header, bytes.data(), sizeof(header));
  if (header.magic != kMagic) {
    return error("'{}' is no overlay; name another file, or one that is not there to have it made", path);
  }
  if (header.version != kPlainOverlay && header.version != kOverlayWithValues) {
    return error("overlay '{}' has format {}, and {} and {} are known here; use the release that made it",
                 path, header.version, kPlainOverlay, kOverlayWithValues);
  }
  if (header.checksum != checksum(header) || header.cluster_shift != kClusterShift) {
    return error("overlay '{}' has a damaged header; restore it from a copy, or delete it to start anew",
                 path);
  }
  const OverlayLayout layout{{header.disk_size}, {header.base_modified}, header.version};
  if (layout.disk_size.raw == 0 || layout.disk_size > kMaxOverlayDisk) {
    return error("overlay '{}' is for a disk of {}; 1 byte to {} are possible", path,
                 format_size(layout.disk_size), format_size(kMaxOverlayDisk));
  }
  return layout;
}

}  // namespace cloister::device::virtio
