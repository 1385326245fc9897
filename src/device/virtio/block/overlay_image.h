// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <string>

#include "base/lock.h"
#include "base/os/file.h"
#include "device/virtio/block/cluster_map.h"
#include "device/virtio/block/image.h"
#include "device/virtio/block/overlay_format.h"
#include "device/virtio/block/value_map.h"

namespace cloister::device::virtio {

// A disk that begins as a base file, which stays as it is, and keeps what is written in a file of its own;
// pages of the value that it was told to expect as a few bits. (essay in overlay_image.cpp)
//
// Lock rank: kDisk, one at a time: a stripe for what changes of a cluster's pages where they are kept, or the
// flush lock.
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
  void expect_value(std::span<const std::byte> page) override;
  Result<void> write_value(u64 offset, std::span<const std::byte> pages) override;
  Pages elided() const override { return {elided_.load()}; }

 private:
  struct Stripe {
    Mutex mutex{LockRank::kDisk};
  };

  OverlayImage(os::File base, os::File file, const OverlayLayout& layout)
      : base_(std::move(base)),
        file_(std::move(file)),
        layout_(layout),
        map_(layout.clusters()),
        values_(layout.clusters()) {}

  Result<void> load();
  u64 place_of(u64 disk_offset) const { return layout_.data_offset() + disk_offset; }
  Mutex& stripe_of(u64 cluster) { return stripes_[cluster % stripes_.size()].mutex; }
  Result<void> write_in_cluster(u64 offset, std::span<const std::byte> from);
  Result<void> write_first(u64 offset, std::span<const std::byte> from);
  Result<void> zero_cluster(u64 cluster);

  Result<void> write_here(u64 offset, std::span<const std::byte> from);
  Result<void> save(const std::vector<ClusterMap::Page>& pages, const std::vector<ValueMap::Part>& values);

  // -- Values (overlay_values.cpp)
  Result<void> read_in_cluster(u64 offset, std::span<std::byte> to);
  bool has_values(u64 offset, u64 size) const;
  Result<void> end_values(u64 offset, std::span<const std::byte> from);
  bool elide(u64 offset, u64 size);
  u8 own_number();
  Result<u8> prepare_for_values();
  void give_space_back(const std::vector<ValueMap::Part>& saved, u64 flush);
  void give_space_back(u64 cluster, u16 saved, u64 flush);

  const os::File base_;
  os::File file_;
  const OverlayLayout layout_;
  ClusterMap map_;
  ValueMap values_;
  std::array<OverlayMark, kOverlayMarks> marks_{};  // one is set before the first page of it comes
  std::span<const std::byte> expected_;
  static constexpr int kUnknown = -1;
  std::atomic<int> own_number_{kUnknown};  // of the expected value; 0: its pages are stored
  std::atomic<u64> elided_{0};
  std::atomic<u64> holes_{0};    // made where pages of a value were
  std::atomic<u64> flushes_{0};  // begun
  // Bound: more stripes than workers, so that first writes seldom meet.
  std::array<Stripe, 64> stripes_;
  Mutex flush_mutex_{LockRank::kDisk};
};

}  // namespace cloister::device::virtio
