// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/lock.h"
#include "base/os/file.h"
#include "base/result.h"
#include "base/units.h"

namespace cloister::memory {

// A cell's swap: slots of a page each in a file that has no name, so its content ends with the cell, however
// it ends. Thread safe; reads and writes go on at the same time. Lock rank: kSwapSlots, over the map of free
// slots alone.
class SwapFile {
 public:
  // Makes one of `size` in `folder`, with its disk space reserved, so that a disk that fills up later takes
  // nothing from it. Refused: no such folder, not enough space, a size of 0 or not a multiple of the page.
  static Result<std::unique_ptr<SwapFile>> create(const std::string& folder, Bytes size);
  // On a file that another opened (a sandboxed cell is handed one). Its old content is cut off first.
  static Result<std::unique_ptr<SwapFile>> adopt(os::File file, Bytes size);

  virtual ~SwapFile() = default;

  Pages capacity() const { return capacity_; }
  Pages used() const { return {used_.load()}; }

  // Takes up to `most` slots that lie in a row, at least one; nothing when it is full.
  struct Run {
    u32 first = 0;
    u32 count = 0;
  };
  std::optional<Run> take(u32 most);
  void give_back(Run run);

  // Precondition: the slots are taken; sizes and buffers are multiples of the page. (Virtual: tests let them
  // fail.)
  virtual Result<void> write(u32 first, std::span<const std::byte> from);
  virtual Result<void> read(u32 first, std::span<std::byte> to) const;

  struct Counts {
    Pages written, read;
    u64 failed_writes = 0, failed_reads = 0;
  };
  Counts counts() const;

 protected:
  SwapFile(os::File file, Pages capacity);

 private:
  bool is_taken(u64 slot) const REQUIRES(lock_) { return ((taken_[slot / 64] >> (slot % 64)) & 1) != 0; }
  void set_taken(Run run, bool taken) REQUIRES(lock_);
  u64 next_free(u64 from) const REQUIRES(lock_);

  os::File file_;
  const Pages capacity_;
  std::atomic<u64> used_{0};
  Mutex lock_{LockRank::kSwapSlots};
  std::vector<u64> taken_ GUARDED_BY(lock_);  // one bit a slot
  u64 next_ GUARDED_BY(lock_) = 0;            // where the next search begins
  std::atomic<u64> written_{0}, failed_writes_{0};
  mutable std::atomic<u64> read_{0}, failed_reads_{0};
};

}  // namespace cloister::memory
