// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <string_view>
#include <vector>

#include "base/lock.h"
#include "base/units.h"
#include "device/bus.h"
#include "device/interrupt.h"
#include "device/virtio/device.h"
#include "device/virtio/queue.h"
#include "memory/guest_memory.h"

namespace cloister::device::virtio {

// virtio 1.2, 2.1: the device status field.
enum Status : u32 {
  kAcknowledge = 1,
  kDriver = 2,
  kDriverOk = 4,
  kFeaturesOk = 8,
  kNeedsReset = 64,
  kFailed = 128,
};

// virtio 1.2, 4.2.2: the registers of virtio over MMIO, version 2.
enum class Register : u32 {
  kMagic = 0x000,
  kVersion = 0x004,
  kDeviceId = 0x008,
  kVendorId = 0x00c,
  kDeviceFeatures = 0x010,
  kDeviceFeaturesSelect = 0x014,
  kDriverFeatures = 0x020,
  kDriverFeaturesSelect = 0x024,
  kQueueSelect = 0x030,
  kQueueSizeMax = 0x034,
  kQueueSize = 0x038,
  kQueueReady = 0x044,
  kQueueNotify = 0x050,
  kInterruptStatus = 0x060,
  kInterruptAck = 0x064,
  kStatus = 0x070,
  kQueueDescriptorsLow = 0x080,
  kQueueDescriptorsHigh = 0x084,
  kQueueDriverLow = 0x090,
  kQueueDriverHigh = 0x094,
  kQueueDeviceLow = 0x0a0,
  kQueueDeviceHigh = 0x0a4,
  kSharedMemoryLengthLow = 0x0b0,
  kSharedMemoryLengthHigh = 0x0b4,
  kSharedMemoryBaseLow = 0x0b8,
  kSharedMemoryBaseHigh = 0x0bc,
  kConfigGeneration = 0x0fc,
  kConfig = 0x100,
};

// Puts a virtio device on the bus: virtio-mmio version 2, without the legacy interface.
//
// The driver goes through the status steps in their order; a write out of order, of a register that is not
// for now, or of a value that cannot be, is ignored. A queue that cannot be (size, alignment, place) when it
// is made ready, and a ring that breaks later, give DEVICE_NEEDS_RESET: the device does nothing more until it
// is reset.
//
// Lock rank: kTransport for the registers, kSignal for what the device's threads report. The interrupt
// registers take only the latter, so a handler never waits for another hart's request.
class MmioTransport final : public MmioDevice, private Port {
 public:
  static constexpr Bytes kRegionSize{0x1000};

  // Device and memory outlive the transport.
  MmioTransport(memory::GuestMemory& memory, Device& device, InterruptLine line);
  ~MmioTransport() override;
  MmioTransport(const MmioTransport&) = delete;
  MmioTransport& operator=(const MmioTransport&) = delete;

  std::string_view name() const override { return device_.name(); }
  u64 read(u64 offset, u32 size) override;
  void write(u64 offset, u32 size, u64 value) override;
  void reset() override;

 private:
  // One queue as the driver set it up.
  struct Slot {
    RingLayout layout;
    std::unique_ptr<Queue> queue;  // never null
    bool ready = false;
  };

  // Port
  Queue& queue(u32 index) override;
  void signal_used(u32 queue_index) override;
  void signal_config_changed() override;
  void fail(std::string_view why) override;

  u32 read_register(Register reg) const REQUIRES(mutex_);
  void write_register(Register reg, u32 value) REQUIRES(mutex_);
  u64 read_config(u32 offset, u32 size) REQUIRES(mutex_);
  void write_config(u32 offset, u32 size, u64 value) REQUIRES(mutex_);
  u32 read_queue(Register reg) const REQUIRES(mutex_);
  void write_queue(Register reg, u32 value) REQUIRES(mutex_);

  u64 offered() const { return device_.features() | kTransportFeatures; }
  bool features_acceptable() const REQUIRES(mutex_);
  void write_driver_features(u32 value) REQUIRES(mutex_);
  void write_status(u32 value) REQUIRES(mutex_);
  bool take_step(u32 bit) REQUIRES(mutex_);
  void write_ready(Slot& slot, bool ready) REQUIRES(mutex_);
  void make_queue(Slot& slot) REQUIRES(mutex_);
  void notify(u32 index) REQUIRES(mutex_);
  void start() REQUIRES(mutex_);
  void stop() REQUIRES(mutex_);
  void reset_all() REQUIRES(mutex_);

  u32 interrupt_status();
  void acknowledge(u32 bits);
  void interrupt(u32 bits);

  memory::GuestMemory& memory_;
  Device& device_;

  Mutex mutex_{LockRank::kTransport};
  u32 status_ GUARDED_BY(mutex_) = 0;  // as the driver wrote it
  u64 driver_features_ GUARDED_BY(mutex_) = 0;
  u32 device_features_select_ GUARDED_BY(mutex_) = 0;
  u32 driver_features_select_ GUARDED_BY(mutex_) = 0;
  u32 queue_select_ GUARDED_BY(mutex_) = 0;
  bool live_ GUARDED_BY(mutex_) = false;  // activate()d
  std::vector<Slot> slots_;               // changed under mutex_ and only while not live

  std::atomic<bool> needs_reset_{false};
  std::atomic<u32> generation_{0};

  Mutex signal_mutex_{LockRank::kSignal};
  InterruptLine line_ GUARDED_BY(signal_mutex_);
  u32 interrupt_status_ GUARDED_BY(signal_mutex_) = 0;
  bool told_ GUARDED_BY(signal_mutex_) = false;  // one line in the log for each power-on
};

}  // namespace cloister::device::virtio
