// SPDX-License-Identifier: Apache-2.0
#include "device/virtio/block/value_map.h"

#include <algorithm>

namespace cloister::device::virtio {

ValueMap::Known& ValueMap::Slot::made() {
  if (Known* known = known_.load()) return *known;
  auto fresh = std::make_unique<Known>();
  Known* other = nullptr;
  return known_.compare_exchange_strong(other, fresh.get()) ? *fresh.release() : *other;
}

u32 ValueMap::word_of(Entry entry) {
  return entry.pages | u32{entry.mark} << 16 | (entry.full && entry.pages != 0 ? kFull : 0);
}

ValueMap::Entry ValueMap::entry_of(u32 word) {
  return {static_cast<u16>(word), static_cast<u8>(word >> 16), (word & kFull) != 0};
}

ValueMap::Entry ValueMap::at(u64 cluster) const {
  const Known* known = parts_[cluster / kEntries].get();
  return known == nullptr ? Entry{} : entry_of(known->words[cluster % kEntries].load());
}

// The word first: whoever takes the part's mark away sees the word, or leaves the mark for the next time.
void ValueMap::put(u64 cluster, Entry entry) {
  Known& known = parts_[cluster / kEntries].made();
  const u32 word = word_of(entry);
  const u32 before = known.words[cluster % kEntries].exchange(word);
  if (((before ^ word) & ~kFull) != 0) known.changed.store(true);
}

void ValueMap::mark_full(u64 cluster) {
  Entry entry = at(cluster);
  if (entry.pages == 0) return;
  entry.full = true;
  put(cluster, entry);
}

Result<void> ValueMap::load(const os::File& file, u64 offset) {
  std::array<u32, kEntries> words;
  for (u64 index = 0; index < parts_.size(); ++index) {
    TRY(file.read_at(offset + index * kPageSize, std::as_writable_bytes(std::span(words))));
    if (take_in(index, words)) continue;
    return error(
        "overlay '{}' has a damaged table of values; restore it from a copy, or delete it to start anew",
        file.path());
  }
  return {};
}

bool ValueMap::take_in(u64 index, const std::array<u32, kEntries>& words) {
  for (u64 i = 0; i < kEntries; ++i) {
    if (words[i] == 0) continue;
    const Entry entry = entry_of(words[i]);
    if (entry.pages == 0 || entry.mark == 0 || words[i] >> 24 != 0) return false;
    parts_[index].made().words[i] = words[i];
    used_[entry.mark] = true;
  }
  return true;
}

std::vector<ValueMap::Part> ValueMap::take_changed() {
  std::vector<Part> taken;
  for (u64 index = 0; index < parts_.size(); ++index) {
    Known* known = parts_[index].get();
    if (known == nullptr || !known->changed.exchange(false)) continue;
    Part& part = taken.emplace_back();
    part.index = index;
    for (u64 i = 0; i < kEntries; ++i) part.entries[i] = entry_of(known->words[i].load());
  }
  return taken;
}

void ValueMap::put_back(const std::vector<Part>& parts) {
  for (const Part& part : parts) parts_[part.index].made().changed.store(true);
}

Result<void> ValueMap::save(os::File& file, u64 offset, const std::vector<Part>& parts) {
  for (const Part& part : parts) {
    std::array<u32, kEntries> words;
    std::transform(part.entries.begin(), part.entries.end(), words.begin(),
                   [](Entry entry) { return word_of(entry) & ~kFull; });
    TRY(file.write_at(offset + part.index * kPageSize, std::as_bytes(std::span(words))));
  }
  return {};
}

}  // namespace cloister::device::virtio
