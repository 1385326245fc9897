// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/units.h"
#include "device/interrupt.h"
#include "device/virtio/device.h"
#include "device/virtio/mmio.h"
#include "device/virtio/testing/driver_queue.h"
#include "memory/guest_memory.h"

// For tests: a guest in front of one virtio device, with memory, an interrupt wire and a driver.
//
//   testing::Guest guest(device);
//   guest.start(kVersion1 | kPackedRing);                    // all queues, DRIVER_OK
//   const auto in = guest.allocate(64);
//   EXPECT_EQ(guest.run(0, {.in = {{in, 64}}}), 64u);        // submit, wait for it: bytes written
namespace cloister::device::virtio::testing {

class Guest {
 public:
  static constexpr GuestPhys kBase{0x8000'0000};

  explicit Guest(Device& device, Bytes memory = Bytes{8 * kMiB});

  memory::GuestMemory& memory() { return *memory_; }
  MmioTransport& transport() { return *transport_; }

  // -- Registers
  u32 read(Register reg) { return static_cast<u32>(transport_->read(static_cast<u32>(reg), 4)); }
  void write(Register reg, u32 value) { transport_->write(static_cast<u32>(reg), 4, value); }
  template <typename T>
  T config(u32 offset) {
    return static_cast<T>(transport_->read(0x100 + offset, sizeof(T)));
  }
  u64 device_features();

  // -- Bringing the device up
  // Steps to FEATURES_OK; whether the device took the features.
  bool negotiate(u64 features);
  // Where a queue of `size` (0: the maximum) may lie; fresh memory.
  RingLayout place_queue(u32 index, u32 size = 0);
  void set_up_queue(u32 index, const RingLayout& layout);
  // All of it: negotiates, sets up every queue, DRIVER_OK. Memory given out before is given out again.
  void start(u64 features);
  void reset();

  // -- Memory: fresh, zeroed, aligned to 16.
  GuestPhys allocate(u64 bytes);
  GuestPhys place(std::span<const std::byte> bytes);  // allocated and filled
  GuestPhys place(std::string_view text) { return place(std::as_bytes(std::span(text))); }
  std::vector<std::byte> bytes_at(GuestPhys address, u64 count);
  std::string text_at(GuestPhys address, u64 count);

  // -- Requests
  DriverQueue& queue(u32 index) { return *queues_[index]; }
  // Adds a buffer and notifies if the device wants it. Precondition: the ring has room.
  u16 submit(u32 index, const Buffer& buffer);
  void notify(u32 index) { write(Register::kQueueNotify, index); }
  // Waits for the next used buffer, for a device with threads of its own. Fails the program after a minute.
  Used wait_used(u32 index);
  // submit() and wait_used(); the bytes written.
  u32 run(u32 index, const Buffer& buffer);

  // -- The interrupt
  bool interrupt_line() const { return wire_.high; }
  // InterruptStatus, acknowledged.
  u32 take_interrupts();
  bool needs_reset() { return (read(Register::kStatus) & kNeedsReset) != 0; }

 private:
  struct Wire final : InterruptController {
    void set_level(u32, bool level) override { high = level; }
    std::atomic<bool> high{false};
  };

  std::unique_ptr<memory::GuestMemory> memory_;
  Device& device_;
  Wire wire_;
  std::unique_ptr<MmioTransport> transport_;
  std::vector<std::unique_ptr<DriverQueue>> queues_;
  u64 features_ = 0;
  u64 allocated_ = 0;
};

}  // namespace cloister::device::virtio::testing
