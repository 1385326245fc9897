// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "base/result.h"
#include "base/units.h"

namespace cloister::device::virtio {

inline constexpr u64 kSectorSize = 512;
inline constexpr u64 kSectorShift = 9;

// What a disk's bytes are kept in. Any thread, several calls at once; calls that are under way together have
// no order among each other. A change is sure to outlive the host's power once a flush() that began after it
// has returned.
// Precondition of all: offset + size <= size(); of those that change something: !read_only().
class DiskImage {
 public:
  enum class Unmap : bool { kNo, kYes };

  virtual ~DiskImage() = default;
  virtual Bytes size() const = 0;  // a multiple of kSectorSize, not 0
  virtual bool read_only() const = 0;
  virtual Result<void> read(u64 offset, std::span<std::byte> to) = 0;
  virtual Result<void> write(u64 offset, std::span<const std::byte> from) = 0;
  // The range reads as zeros. kYes: its space may be given up.
  virtual Result<void> write_zeroes(u64 offset, Bytes count, Unmap unmap) = 0;
  // The content of the range is no longer wanted: it reads as before or as zeros.
  virtual void discard(u64 offset, Bytes count) = 0;
  virtual Result<void> flush() = 0;

  // Pages that hold just this come often, by write_value(): who can keep them as less than they are may do
  // so. OverlayMark bytes, then zeros; the page outlives the image. Before the first of them.
  virtual void expect_value(std::span<const std::byte> page) { (void)page; }
  // write() of whole pages that hold the value.
  virtual Result<void> write_value(u64 offset, std::span<const std::byte> pages) {
    return write(offset, pages);
  }
  // Pages that were written and take no space, so far.
  virtual Pages elided() const { return {}; }
};

struct DiskPlace {
  std::string path;     // the disk, or its base
  std::string overlay;  // empty: none
  bool read_only = false;
};

// Opens and locks a disk's files. Refused, naming the file and the remedy: what cannot be opened as asked,
// what another machine uses (a writer excludes all others, readers do not exclude each other), a size that is
// 0 or no multiple of a sector, and an overlay that is damaged or not made for this base.
//
// With an overlay, `path` is only read, by any number of machines, and what the guest writes goes to the
// overlay, which is made when missing. `read_only` and an overlay together are refused.
Result<std::unique_ptr<DiskImage>> open_disk(const DiskPlace& place);

}  // namespace cloister::device::virtio
