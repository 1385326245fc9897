// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <memory>
#include <string>

#include "base/lock.h"
#include "base/os/file.h"
#include "device/virtio/block/cluster_map.h"
#include "device/virtio/block/image.h"
#include "device/virtio/block/overlay_format.h"

namespace cloister::device::virtio {

// A disk that begins as a base file, which stays as it is, and keeps what is written in a file of its own.
//
// Lock rank: kDisk, one at a time: a stripe for the first write of a cluster, or the flush lock.
class OverlayImage final : public DiskImage {
 public:
  static Result<std::unique_ptr<DiskImage>> open(const std::string& base, const std::string& overlay);
  ~OverlayImage() override;  // flushes

  Bytes size() const override { return layout_.disk_size; }
  bool read_only() const override { return false; }
  Result<void> read(u64 offset, std::span<std::byte> to) override;
  Result<void> write(u64 offset, std::span<const std::byte> from) override;
  Result<void> write_zeroes(u64 offset, Bytes count, Unmap unmap) override;
  void discard(u64 offset, Bytes count) override;
  Result<void> flush() override;

 private:
  struct Stripe {
    Mutex mutex{LockRank::kDisk};
  };

  OverlayImage(os::File base, os::File file, const OverlayLayout& layout)
      : base_(std::move(base)), file_(std::move(file)), layout_(layout), map_(layout.clusters()) {}

  u64 place_of(u64 disk_offset) const { return layout_.data_offset() + disk_offset; }
  Mutex& stripe_of(u64 cluster) { return stripes_[cluster % stripes_.size()].mutex; }
  Result<void> write_in_cluster(u64 offset, std::span<const std::byte> from);
  Result<void> write_first(u64 offset, std::span<const std::byte> from);
  Result<void> zero_cluster(u64 cluster);

  const os::File base_;
  os::File file_;
  const OverlayLayout layout_;
  ClusterMap map_;
  // Bound: more stripes than workers, so that first writes seldom meet.
  std::array<Stripe, 64> stripes_;
  Mutex flush_mutex_{LockRank::kDisk};
};

}  // namespace cloister::device::virtio
