// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include "base/units.h"

// A virtio device is the part behind the transport: features, configuration space, what is done with buffers.
// MmioTransport (mmio.h) is the part in front: registers, status, negotiation, the interrupt.
// Queue and Chain (queue.h) are the rings, split or packed, every value in them checked.
namespace cloister::device::virtio {

class Queue;

// virtio 1.2, section 5: the device IDs used here.
enum class DeviceId : u32 { kNetwork = 1, kBlock = 2, kConsole = 3, kEntropy = 4, kBalloon = 5, kNineP = 9, kVsock = 19 };

// What a device may ask of its transport. Any thread.
class Port {
 public:
  virtual ~Port() = default;
  // Precondition: index < queue_count(). Meaningful only while the driver is live (after DRIVER_OK).
  virtual Queue& queue(u32 index) = 0;
  // The used-buffer interrupt, if the driver's event suppression for that queue wants it.
  virtual void signal_used(u32 queue_index) = 0;
  virtual void signal_config_changed() = 0;
  // The driver broke the rings: DEVICE_NEEDS_RESET, and nothing more is done until it resets.
  virtual void fail(std::string_view why) = 0;
};

// Calls come under the transport's lock, one at a time; a device that works on threads of its own locks
// for itself, and never calls Port under a lock that it also takes in these.
class Device {
 public:
  virtual ~Device() = default;
  virtual DeviceId id() const = 0;
  virtual std::string_view name() const = 0;
  // The device's own feature bits. The transport adds VERSION_1, RING_PACKED, INDIRECT_DESC, EVENT_IDX.
  virtual u64 features() const = 0;
  virtual u32 queue_count() const = 0;
  virtual u32 queue_max_size(u32 index) const = 0;
  // Reads past the configuration's end give 0.
  virtual void read_config(u32 offset, std::span<std::byte> to) = 0;
  virtual void write_config(u32 offset, std::span<const std::byte> from) { (void)offset, (void)from; }
  // DRIVER_OK with these negotiated features: buffers may be taken from now on.
  virtual void activate(Port& port, u64 negotiated) = 0;
  // The driver made buffers available. Must not block on I/O: hand the work to a thread.
  virtual void notify(u32 queue_index) = 0;
  // Stop: returns when no thread of the device touches the queues or guest memory any more.
  virtual void reset() = 0;
};

}  // namespace cloister::device::virtio
