// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "base/units.h"
#include "device/virtio/descriptor.h"
#include "device/virtio/queue.h"
#include "memory/guest_memory.h"

// For tests: the driver's side of a virtqueue, as an operating system would write it.
namespace cloister::device::virtio::testing {

// What a driver hands to a device.
struct Buffer {
  std::vector<Segment> out = {};  // the device reads
  std::vector<Segment> in = {};   // the device writes
  std::optional<GuestPhys> table =
      std::nullopt;  // where to put an indirect table; nothing: descriptors in the ring
};

struct Used {
  u16 id = 0;
  u32 written = 0;
};

class DriverQueue {
 public:
  static std::unique_ptr<DriverQueue> create(memory::GuestMemory& memory, const RingLayout& layout,
                                             u64 features);
  virtual ~DriverQueue() = default;

  // Makes a buffer available; its id, or nothing when the ring is full.
  virtual std::optional<u16> add(const Buffer& buffer) = 0;
  // The next buffer that the device handed back.
  virtual std::optional<Used> take_used() = 0;
  // Whether the device wants to hear of what was added since the last call.
  virtual bool should_notify() = 0;
  // No interrupts, please.
  virtual void silence() = 0;
  // An interrupt, please, when the buffer (packed: slot) after the next `skipped` ones comes back. Without
  // event index: for every one.
  virtual void ask_interrupt(u16 skipped = 0) = 0;

 protected:
  DriverQueue(memory::GuestMemory& memory, const RingLayout& layout, u64 features);

  template <typename T>
  void put(GuestPhys address, T value) {
    CHECK(memory_.store<T>(address, value));
  }
  template <typename T>
  T get(GuestPhys address) {
    return memory_.load<T>(address).value();
  }
  void put_descriptor(GuestPhys address, std::span<const std::byte> descriptor) {
    CHECK(memory_.write(address, descriptor));
  }

  memory::GuestMemory& memory_;
  const RingLayout layout_;
  const bool event_index_;
};

}  // namespace cloister::device::virtio::testing
