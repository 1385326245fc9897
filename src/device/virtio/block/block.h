// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/lock.h"
#include "base/os/thread.h"
#include "base/result.h"
#include "device/virtio/block/image.h"
#include "device/virtio/block/request.h"
#include "device/virtio/device.h"
#include "device/virtio/queue.h"

namespace cloister::device::virtio {

// Where requests are done.
enum class BlockExecution : u8 {
  kThreads,  // by workers, several at a time: a hart never waits for the disk
  kInline,   // inside notify(), one after the other: the same each time, for the deterministic engine
};

// The block device (virtio 1.2, 5.2): one queue in front of a DiskImage.
//
// Locking: mutex_ (LockRank::kDevice) guards the queue. A worker takes a buffer under it, does the I/O
// without it, in place in the guest's frames, and hands the buffer back under it.
class Block final : public Device {
 public:
  // Bound: requests at the host at a time. Enough to keep a disk busy while others wait for a flush; more
  // would only queue in the host's kernel.
  static constexpr u32 kWorkers = 4;
  static constexpr u32 kQueueSize = 256;
  static constexpr u32 kMaxSegments = kQueueSize - 2;  // beside header and status

  // `name` is for people and threads, and the guest's serial number of the disk: "disk0".
  // Refused: when the host has no thread left.
  static Result<std::unique_ptr<Block>> create(std::unique_ptr<DiskImage> image, std::string name,
                                               BlockExecution execution);
  ~Block() override;

  // Pages of the balloon value in what the guest writes are counted. An overlay keeps them as a few bits; a
  // raw disk stores them as any others, for nothing there could say what they read as when this process has
  // ended. They take no frame on their way. Before the first request.
  void expect_value(std::span<const std::byte> page) { server_.expect_value(page); }
  Pages values_written() const { return server_.values_written(); }  // any thread
  Pages values_elided() const { return server_.image().elided(); }   // of these, taking no space; any thread

  DeviceId id() const override { return DeviceId::kBlock; }
  std::string_view name() const override { return server_.serial(); }
  u64 features() const override;
  u32 queue_count() const override { return 1; }
  u32 queue_max_size(u32) const override { return kQueueSize; }
  void read_config(u32 offset, std::span<std::byte> to) override;
  void write_config(u32 offset, std::span<const std::byte> from) override;
  void activate(Port& port, u64 negotiated) override;
  void notify(u32 queue_index) override;
  void reset() override;

 private:
  Block(std::unique_ptr<DiskImage> image, std::string name, BlockExecution execution);

  void set_cache(bool write_back) REQUIRES(mutex_);
  void serve_inline() REQUIRES(mutex_);
  void serve(Chain& chain, Port& port) REQUIRES(mutex_);
  void work();
  std::optional<Chain> wait_for_request() REQUIRES(mutex_);
  std::optional<Chain> take() REQUIRES(mutex_);

  RequestServer server_;
  const BlockExecution execution_;

  Mutex mutex_{LockRank::kDevice};
  Port* port_ GUARDED_BY(mutex_) = nullptr;  // null: take no more buffers
  bool cache_choice_ GUARDED_BY(mutex_) = false;
  bool write_back_ GUARDED_BY(mutex_) = true;
  bool closing_ GUARDED_BY(mutex_) = false;
  u32 busy_ GUARDED_BY(mutex_) = 0;  // workers with a buffer
  Condition work_;                   // a buffer may have come, or closing_
  Condition idle_;                   // busy_ is 0
  std::vector<os::Thread> workers_;
};

}  // namespace cloister::device::virtio
