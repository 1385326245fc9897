// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/lock.h"
#include "base/units.h"
#include "device/console_backend.h"
#include "device/virtio/device.h"

namespace cloister::device::virtio {

// The console device (virtio 1.2, 5.3) with its one port.
//
// What the guest prints goes out inside notify(), under the transport's lock. mutex_ (LockRank::kDevice)
// guards the receiving queue, which input fills from the host's threads, and is never held while a slow
// terminal takes output.
class Console final : public Device {
 public:
  // Bound: of one buffer that the guest prints; what is longer is cut off. Linux prints at most a page at a
  // time.
  static constexpr u32 kMaxOutput = u32{kMiB};

  // The backend outlives the device.
  explicit Console(ConsoleBackend& backend);
  ~Console() override;

  DeviceId id() const override { return DeviceId::kConsole; }
  std::string_view name() const override { return "console"; }
  u64 features() const override { return 0; }
  u32 queue_count() const override { return 2; }
  u32 queue_max_size(u32) const override { return 64; }
  void read_config(u32, std::span<std::byte>) override {}
  void activate(Port& port, u64 negotiated) override;
  void notify(u32 queue_index) override;
  void reset() override;

 private:
  enum QueueIndex : u32 { kReceive = 0, kTransmit = 1 };

  Port* port();
  void transmit(Port& port);
  void receive() REQUIRES(mutex_);
  bool fill_next_buffer(Port& port) REQUIRES(mutex_);

  ConsoleBackend& backend_;
  Mutex mutex_{LockRank::kDevice};
  Port* port_ GUARDED_BY(mutex_) = nullptr;
};

}  // namespace cloister::device::virtio
