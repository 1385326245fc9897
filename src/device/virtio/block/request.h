// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "base/result.h"
#include "base/units.h"
#include "device/virtio/block/image.h"
#include "device/virtio/queue.h"

namespace cloister::device::virtio {

// virtio 1.2, 5.2.6: the last byte of every request.
enum class BlockStatus : u8 { kOk = 0, kIoError = 1, kUnsupported = 2 };

// Does what a block request asks, on the calling thread. Any thread, several requests at once.
class RequestServer {
 public:
  // Bound: how much one request may discard or zero, so that it ends in reasonable time.
  static constexpr u32 kMaxDiscardSectors = u32{kGiB >> kSectorShift};
  static constexpr u32 kMaxDiscardSegments = 16;

  // `serial` is what GET_ID tells, its first 20 bytes.
  RequestServer(std::unique_ptr<DiskImage> image, std::string serial)
      : image_(std::move(image)), serial_(std::move(serial)) {}

  const DiskImage& image() const { return *image_; }
  const std::string& serial() const { return serial_; }

  // Whether each write is on the disk before it is answered. Any thread.
  void set_write_through(bool on) { write_through_ = on; }

  // Pages in the guest's writes that hold just this are counted, and told to the image as such. The page
  // outlives the server. Before the first request.
  void expect_value(std::span<const std::byte> page) {
    value_ = page;
    image_->expect_value(page);
  }
  Pages values_written() const { return {values_.load(std::memory_order_relaxed)}; }

  // Fills in the request's answer. False: the request has no room for a status.
  bool serve(Chain& chain);

 private:
  enum class Kind : u32 { kIn = 0, kOut = 1, kFlush = 4, kGetId = 8, kDiscard = 11, kWriteZeroes = 13 };
  struct Header {
    u32 kind;
    u32 reserved;
    u64 sector;
  };
  struct Range {  // of DISCARD and WRITE_ZEROES
    u64 sector;
    u32 count;
    u32 flags;
  };

  BlockStatus perform(Chain& chain);
  BlockStatus read(Chain& chain, u64 sector);
  BlockStatus write(Chain& chain, u64 sector);
  BlockStatus flush();
  BlockStatus tell_id(Chain& chain);
  BlockStatus release_all(Chain& chain, Kind kind);
  BlockStatus release(const Range& range, Kind kind);

  bool begins_with_value(std::span<const std::byte> bytes) const;
  Result<void> store(u64 offset, std::span<const std::byte> run);
  bool in_disk(u64 sector, u64 bytes) const;
  BlockStatus status_of(const Result<void>& result);

  const std::unique_ptr<DiskImage> image_;
  const std::string serial_;
  std::atomic<bool> write_through_{false};
  // Once a flush failed, nobody knows what the host dropped: no later one may claim success.
  std::atomic<bool> flush_failed_{false};
  std::span<const std::byte> value_;
  std::atomic<u64> values_{0};
  std::atomic<bool> told_{false};  // one line in the log for each disk
};

}  // namespace cloister::device::virtio
