// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <bitset>
#include <memory>
#include <vector>

#include "base/os/file.h"
#include "base/result.h"
#include "base/units.h"
#include "device/virtio/block/overlay_format.h"

namespace cloister::device::virtio {

// Which pages of an overlay hold nothing but a balloon value and are kept as that alone: an entry for each
// cluster, in memory, and which parts of the entries the file does not have yet. Memory is taken for parts
// that say something. Any thread; entries of a cluster are changed by one at a time.
class ValueMap {
 public:
  struct Entry {
    u16 pages = 0;      // a bit each
    u8 mark = 0;        // which value: a number in the file's table of marks; 0 where there are no pages
    bool full = false;  // the pages may take space at their place in the file: known in memory alone

    bool operator==(const Entry&) const = default;
  };
  static constexpr u64 kEntries = kPageSize / kOverlayValueBytes;  // in a part
  struct Part {                                                    // as it was when it was taken
    u64 index = 0;
    std::array<Entry, kEntries> entries{};
  };

  explicit ValueMap(u64 clusters) : parts_((clusters + kEntries - 1) / kEntries) {}

  Entry at(u64 cluster) const;
  void put(u64 cluster, Entry entry);
  // The pages of a cluster, if there are any, may take space from now on.
  void mark_full(u64 cluster);

  // Refused, naming the file and the remedy: entries that make no sense.
  Result<void> load(const os::File& file, u64 offset);
  // Whether the file that was loaded has pages of that value.
  bool uses(u8 mark) const { return used_[mark]; }
  // The parts that changed since the last call.
  std::vector<Part> take_changed();
  // They could not be saved after all.
  void put_back(const std::vector<Part>& parts);
  static Result<void> save(os::File& file, u64 offset, const std::vector<Part>& parts);

 private:
  // Of the file's four bytes the last is always 0; in memory 1 says that space may be taken.
  static constexpr u32 kFull = u32{1} << 24;
  struct Known {
    std::array<std::atomic<u32>, kEntries> words{};
    std::atomic<bool> changed{false};
  };
  class Slot {
   public:
    ~Slot() { delete known_.load(); }
    Known* get() const { return known_.load(); }
    Known& made();

   private:
    std::atomic<Known*> known_{nullptr};
  };

  static u32 word_of(Entry entry);
  static Entry entry_of(u32 word);
  bool take_in(u64 index, const std::array<u32, kEntries>& words);

  std::vector<Slot> parts_;
  std::bitset<kOverlayMarks> used_;
};

}  // namespace cloister::device::virtio
