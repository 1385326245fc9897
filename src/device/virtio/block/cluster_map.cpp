// SPDX-License-Identifier: Apache-2.0
#include "device/virtio/block/cluster_map.h"

#include "base/check.h"

namespace cloister::device::virtio {

ClusterMap::ClusterMap(u64 clusters)
    : words_((clusters + kPageBits - 1) / kPageBits * kPageWords), changed_(words_.size() / kPageWords) {}

// The bit first: whoever takes the page's mark away sees the bit, or leaves the mark for the next time.
void ClusterMap::add(u64 cluster) {
  DCHECK(cluster / 64 < words_.size());
  words_[cluster / 64].fetch_or(u64{1} << (cluster % 64));
  changed_[cluster / kPageBits].store(true);
}

Result<void> ClusterMap::load(const os::File& file, u64 offset) {
  Page page;
  for (u64 index = 0; index < changed_.size(); ++index) {
    TRY(file.read_at(offset + index * kPageSize, std::as_writable_bytes(std::span(page.words))));
    for (u64 i = 0; i < kPageWords; ++i) words_[index * kPageWords + i] = page.words[i];
  }
  return {};
}

std::vector<ClusterMap::Page> ClusterMap::take_changed() {
  std::vector<Page> pages;
  for (u64 index = 0; index < changed_.size(); ++index) {
    if (changed_[index].exchange(false)) pages.push_back(copy_of(index));
  }
  return pages;
}

ClusterMap::Page ClusterMap::copy_of(u64 index) const {
  Page page{index, {}};
  for (u64 i = 0; i < kPageWords; ++i) page.words[i] = words_[index * kPageWords + i].load();
  return page;
}

void ClusterMap::put_back(const std::vector<Page>& pages) {
  for (const Page& page : pages) changed_[page.index].store(true);
}

Result<void> ClusterMap::save(os::File& file, u64 offset, const std::vector<Page>& pages) {
  for (const Page& page : pages) {
    TRY(file.write_at(offset + page.index * kPageSize, std::as_bytes(std::span(page.words))));
  }
  return {};
}

}  // namespace cloister::device::virtio
