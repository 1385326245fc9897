// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <vector>

#include "base/os/file.h"
#include "base/result.h"
#include "base/units.h"

namespace cloister::device::virtio {

// Which clusters an overlay holds: a bit each, in memory, and which pages of bits the file does not have yet.
// Without lock: any thread, several at once.
class ClusterMap {
 public:
  // One page of bits, as it was when it was taken.
  struct Page {
    u64 index = 0;
    std::array<u64, kPageSize / 8> words{};
  };

  explicit ClusterMap(u64 clusters);

  bool has(u64 cluster) const {
    return (words_[cluster / 64].load(std::memory_order_acquire) >> (cluster % 64) & 1) != 0;
  }
  // Precondition: the cluster's bytes are written (not necessarily on the disk).
  void add(u64 cluster);

  Result<void> load(const os::File& file, u64 offset);
  // The pages that changed since the last call. What is in them was written before this call.
  std::vector<Page> take_changed();
  // They could not be saved after all.
  void put_back(const std::vector<Page>& pages);
  static Result<void> save(os::File& file, u64 offset, const std::vector<Page>& pages);

 private:
  static constexpr u64 kPageWords = kPageSize / 8;
  static constexpr u64 kPageBits = kPageSize * 8;
  Page copy_of(u64 page) const;

  std::vector<std::atomic<u64>> words_;     // whole pages
  std::vector<std::atomic<bool>> changed_;  // by page
};

}  // namespace cloister::device::virtio
