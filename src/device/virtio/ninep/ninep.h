// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/lock.h"
#include "base/os/thread.h"
#include "base/result.h"
#include "device/virtio/device.h"
#include "device/virtio/ninep/server.h"
#include "device/virtio/queue.h"

namespace cloister::device::virtio::ninep {

struct ShareOptions {
  std::string tag;   // what the guest mounts: 1 to 255 bytes
  std::string path;  // the host's folder
  Writing writing = Writing::kAllowed;
};

// virtio-9p: a folder of the host, mounted in the guest with
// `mount -t 9p -o trans=virtio,version=9p2000.L TAG /mnt`.
//
// One queue of requests, answered one after the other on a thread of the device's own, so that the host's
// file system blocks neither a hart nor the event loop. The lock is held while the rings are touched and not
// while the host works on a request; a reset meanwhile counts the session up, and the late answer is dropped.
class NineP final : public Device {
 public:
  // Refused: a tag that is empty or too long, a folder that is none or cannot be read.
  static Result<std::unique_ptr<NineP>> create(const ShareOptions& options);
  ~NineP() override;

  DeviceId id() const override { return DeviceId::kNineP; }
  std::string_view name() const override { return "virtio-9p"; }
  u64 features() const override { return kMountTag; }
  u32 queue_count() const override { return 1; }
  u32 queue_max_size(u32) const override { return kQueueSize; }
  void read_config(u32 offset, std::span<std::byte> to) override;
  void activate(Port& port, u64 negotiated) override;
  void notify(u32 queue_index) override;
  void reset() override;

 private:
  static constexpr u64 kMountTag = 1;
  static constexpr u32 kQueueSize = 128;

  NineP(std::string tag, Folder folder, u32 max_fids);
  void work();
  void wait_for_work() REQUIRES(mutex_);
  void serve() REQUIRES(mutex_);
  bool take_request(Chain& chain) REQUIRES(mutex_);
  void answer(Chain& chain) REQUIRES(mutex_);
  void fail(std::string_view why) REQUIRES(mutex_);

  const std::string tag_;

  // The worker's own.
  Server server_;
  u64 served_session_ = 0;
  std::vector<std::byte> request_;
  std::vector<std::byte> reply_;

  Mutex mutex_{LockRank::kDevice};
  Condition wake_;
  Port* port_ GUARDED_BY(mutex_) = nullptr;
  u64 session_ GUARDED_BY(mutex_) = 0;  // counts resets
  bool notified_ GUARDED_BY(mutex_) = false;
  bool stopping_ GUARDED_BY(mutex_) = false;
  os::Thread worker_;
};

}  // namespace cloister::device::virtio::ninep
