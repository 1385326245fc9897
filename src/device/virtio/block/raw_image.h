// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "base/os/file.h"
#include "device/virtio/block/image.h"

namespace cloister::device::virtio {

// A file or block device that holds the disk's bytes as they are.
class RawImage final : public DiskImage {
 public:
  static Result<std::unique_ptr<DiskImage>> open(const std::string& path, bool read_only);

  // Opens the file for reading, shared with other readers, and checks its size.
  static Result<os::File> open_base(const std::string& path);

  Bytes size() const override { return size_; }
  bool read_only() const override { return read_only_; }
  Result<void> read(u64 offset, std::span<std::byte> to) override { return file_.read_at(offset, to); }
  Result<void> write(u64 offset, std::span<const std::byte> from) override {
    return file_.write_at(offset, from);
  }
  Result<void> write_zeroes(u64 offset, Bytes count, Unmap unmap) override;
  void discard(u64 offset, Bytes count) override { (void)file_.punch_hole(offset, count); }
  Result<void> flush() override { return read_only_ ? Result<void>() : file_.sync_data(); }

 private:
  RawImage(os::File file, Bytes size, bool read_only)
      : file_(std::move(file)), size_(size), read_only_(read_only) {}

  os::File file_;
  const Bytes size_;
  const bool read_only_;
};

// Writes zeros for real, in pieces of at most 64 KiB: for file systems that cannot make holes.
Result<void> write_zero_bytes(DiskImage& image, u64 offset, Bytes count);

}  // namespace cloister::device::virtio
