// SPDX-License-Identifier: Apache-2.0
#include "device/virtio/testing/guest.h"

#include <chrono>
#include <thread>

#include "base/check.h"

namespace cloister::device::virtio::testing {
namespace {

constexpr u32 low(u64 value) { return static_cast<u32>(value); }
constexpr u32 high(u64 value) { return static_cast<u32>(value >> 32); }

}  // namespace

Guest::Guest(Device& device, Bytes memory)
    : memory_(memory::GuestMemory::create(kBase, memory).take()),
      device_(device),
      transport_(std::make_unique<MmioTransport>(*memory_, device, InterruptLine(wire_, 1))),
      queues_(device.queue_count()) {}

u64 Guest::device_features() {
  write(Register::kDeviceFeaturesSelect, 1);
  const u64 upper = read(Register::kDeviceFeatures);
  write(Register::kDeviceFeaturesSelect, 0);
  return (upper << 32) | read(Register::kDeviceFeatures);
}

bool Guest::negotiate(u64 features) {
  features_ = features;
  write(Register::kStatus, kAcknowledge);
  write(Register::kStatus, kAcknowledge | kDriver);
  write(Register::kDriverFeaturesSelect, 0);
  write(Register::kDriverFeatures, low(features));
  write(Register::kDriverFeaturesSelect, 1);
  write(Register::kDriverFeatures, high(features));
  write(Register::kStatus, kAcknowledge | kDriver | kFeaturesOk);
  return (read(Register::kStatus) & kFeaturesOk) != 0;
}

RingLayout Guest::place_queue(u32 index, u32 size) {
  const u32 slots = size != 0 ? size : device_.queue_max_size(index);
  const GuestPhys descriptors = allocate(u64{slots} * 16);
  const GuestPhys driver = allocate(6 + u64{slots} * 2);
  return {slots, descriptors, driver, allocate(6 + u64{slots} * 8)};
}

void Guest::set_up_queue(u32 index, const RingLayout& layout) {
  write(Register::kQueueSelect, index);
  write(Register::kQueueSize, layout.size);
  write(Register::kQueueDescriptorsLow, low(layout.descriptors.raw));
  write(Register::kQueueDescriptorsHigh, high(layout.descriptors.raw));
  write(Register::kQueueDriverLow, low(layout.driver.raw));
  write(Register::kQueueDriverHigh, high(layout.driver.raw));
  write(Register::kQueueDeviceLow, low(layout.device.raw));
  write(Register::kQueueDeviceHigh, high(layout.device.raw));
  write(Register::kQueueReady, 1);
  queues_[index] = DriverQueue::create(*memory_, layout, features_);
}

void Guest::start(u64 features) {
  allocated_ = 0;
  CHECK(negotiate(features));
  for (u32 i = 0; i < queues_.size(); ++i) set_up_queue(i, place_queue(i));
  write(Register::kStatus, kAcknowledge | kDriver | kFeaturesOk | kDriverOk);
}

void Guest::reset() {
  write(Register::kStatus, 0);
  CHECK(read(Register::kStatus) == 0);
}

GuestPhys Guest::allocate(u64 bytes) {
  const GuestPhys address = kBase + allocated_;
  allocated_ += (bytes + 15) & ~u64{15};
  CHECK(memory_->fill_zero(address, Bytes{bytes}));
  return address;
}

GuestPhys Guest::place(std::span<const std::byte> bytes) {
  const GuestPhys address = allocate(bytes.size());
  CHECK(memory_->write(address, bytes));
  return address;
}

std::vector<std::byte> Guest::bytes_at(GuestPhys address, u64 count) {
  std::vector<std::byte> bytes(count);
  CHECK(memory_->read(address, bytes));
  return bytes;
}

std::string Guest::text_at(GuestPhys address, u64 count) {
  std::string text(count, '\0');
  CHECK(memory_->read(address, std::as_writable_bytes(std::span(text))));
  return text;
}

u16 Guest::submit(u32 index, const Buffer& buffer) {
  const auto id = queues_[index]->add(buffer);
  CHECK(id);
  if (queues_[index]->should_notify()) notify(index);
  return *id;
}

Used Guest::wait_used(u32 index) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  for (;;) {
    if (const auto used = queues_[index]->take_used()) return *used;
    CHECK(std::chrono::steady_clock::now() < deadline);
    std::this_thread::yield();
  }
}

u32 Guest::run(u32 index, const Buffer& buffer) {
  const u16 id = submit(index, buffer);
  const Used used = wait_used(index);
  CHECK(used.id == id);
  return used.written;
}

u32 Guest::take_interrupts() {
  const u32 bits = read(Register::kInterruptStatus);
  write(Register::kInterruptAck, bits);
  return bits;
}

}  // namespace cloister::device::virtio::testing
