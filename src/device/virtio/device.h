// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <string_view>

#include "base/units.h"

// A virtio device is the part behind the transport: features, configuration space, what is done with buffers.
// MmioTransport (mmio.h) is the part in front: registers, status, negotiation, the interrupt.
// Queue and Chain (queue.h) are the rings, split or packed, every value in them checked.
//
// Locking
//
// The transport calls the device under its own lock (LockRank::kTransport), one call at a time. A device that
// also works on threads of its own has a lock (LockRank::kDevice) over its queues and takes it in these calls
// and on its threads. Port's calls take nothing but LockRank::kSignal and below, so they are made under the
// device's lock, and must be: signal_used() looks at the queue.
namespace cloister::device::virtio {

class Queue;

// virtio 1.2, section 5: the device IDs used here.
enum class DeviceId : u32 {
  kNetwork = 1,
  kBlock = 2,
  kConsole = 3,
  kEntropy = 4,
  kBalloon = 5,
  kNineP = 9,
  kVsock = 19
};

// virtio 1.2, section 6: what the transport offers beside the device's own features.
inline constexpr u64 kIndirectDescriptors = u64{1} << 28;
inline constexpr u64 kEventIndex = u64{1} << 29;
inline constexpr u64 kVersion1 = u64{1} << 32;
inline constexpr u64 kPackedRing = u64{1} << 34;
inline constexpr u64 kTransportFeatures = kIndirectDescriptors | kEventIndex | kVersion1 | kPackedRing;

// What a device may ask of its transport, between activate() and the end of reset(). Any thread, under
// whatever lock guards the queue.
class Port {
 public:
  virtual ~Port() = default;
  // Precondition: index < queue_count(). The same object from activate() to reset(). A queue that the driver
  // did not set up is there too, and always empty.
  virtual Queue& queue(u32 index) = 0;
  // The used-buffer interrupt, if something was pushed since the last call and the driver's event suppression
  // for that queue wants it.
  virtual void signal_used(u32 queue_index) = 0;
  virtual void signal_config_changed() = 0;
  // The driver broke the device's own rules in a way that no status can tell it: DEVICE_NEEDS_RESET, and
  // nothing more is done until it resets. A broken ring needs no call: its queue has told the transport
  // already.
  virtual void fail(std::string_view why) = 0;
};

class Device {
 public:
  virtual ~Device() = default;
  virtual DeviceId id() const = 0;
  virtual std::string_view name() const = 0;
  // The device's own feature bits. The transport adds kTransportFeatures.
  virtual u64 features() const = 0;
  virtual u32 queue_count() const = 0;
  // A power of two, at most 32768.
  virtual u32 queue_max_size(u32 index) const = 0;
  // `to` and `from` are at most 8 bytes. Reads past the configuration's end give 0: the transport has
  // zeroed `to`.
  virtual void read_config(u32 offset, std::span<std::byte> to) = 0;
  virtual void write_config(u32 offset, std::span<const std::byte> from) { (void)offset, (void)from; }
  // DRIVER_OK with these negotiated features: buffers may be taken from now on. A notify() for each queue
  // that is set up follows at once, so nothing need be looked at here.
  virtual void activate(Port& port, u64 negotiated) = 0;
  // The driver made buffers available, maybe: look. Only between activate() and reset(). Must not block on
  // I/O: hand the work to a thread.
  virtual void notify(u32 queue_index) = 0;
  // Stop: returns when no thread of the device touches the port, the queues or guest memory any more. Buffers
  // that are still out are forgotten, not pushed. Also when not active; activate() may follow again.
  virtual void reset() = 0;
};

// For read_config(): the bytes of `config`, a structure in the specification's layout, from `offset` on.
template <typename Config>
void copy_config(const Config& config, u32 offset, std::span<std::byte> to) {
  const auto bytes = std::as_bytes(std::span(&config, 1));
  if (offset >= bytes.size()) return;
  const auto rest = bytes.subspan(offset);
  std::copy_n(rest.begin(), std::min(rest.size(), to.size()), to.begin());
}

}  // namespace cloister::device::virtio
