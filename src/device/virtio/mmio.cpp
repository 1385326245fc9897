// SPDX-License-Identifier: Apache-2.0
#include "device/virtio/mmio.h"

#include <cstring>
#include <utility>

#include "base/log.h"

namespace cloister::device::virtio {
namespace {

constexpr u32 kMagicValue = 0x74726976;   // "virt"
constexpr u32 kVendorValue = 0x54534c43;  // "CLST"
constexpr u32 kVersionValue = 2;

enum InterruptBit : u32 { kUsedBuffer = 1, kConfigChange = 2 };

// The steps of the status field, in their order, and what each one stands on.
struct Step {
  u32 bit;
  u32 needs;
};
constexpr Step kSteps[] = {
    {kAcknowledge, 0}, {kDriver, kAcknowledge}, {kFeaturesOk, kDriver}, {kDriverOk, kFeaturesOk},
    {kFailed, 0},
};

constexpr u32 low(u64 value) { return static_cast<u32>(value); }
constexpr u64 with_low(u64 old, u32 value) { return (old & ~u64{0xffffffff}) | value; }
constexpr u64 with_high(u64 old, u32 value) { return (u64{value} << 32) | low(old); }

// Features come in words of 32 bits; there are two.
constexpr u32 word(u64 features, u32 select) { return select < 2 ? low(features >> (32 * select)) : 0; }

}  // namespace

MmioTransport::MmioTransport(memory::GuestMemory& memory, Device& device, InterruptLine line)
    : memory_(memory), device_(device), slots_(device.queue_count()), line_(line) {
  for (Slot& slot : slots_) slot.queue = Queue::create_empty();
}

MmioTransport::~MmioTransport() {
  MutexLock lock(mutex_);
  stop();
}

// -- The bus ------------------------------------------------------------------------------------------

u64 MmioTransport::read(u64 offset, u32 size) {
  const auto reg = static_cast<Register>(offset);
  if (reg == Register::kInterruptStatus) return size == 4 ? interrupt_status() : 0;
  MutexLock lock(mutex_);
  if (reg >= Register::kConfig) return read_config(low(offset) - low(u64(Register::kConfig)), size);
  return size == 4 ? read_register(reg) : 0;
}

void MmioTransport::write(u64 offset, u32 size, u64 value) {
  const auto reg = static_cast<Register>(offset);
  if (reg == Register::kInterruptAck) return size == 4 ? acknowledge(low(value)) : void();
  MutexLock lock(mutex_);
  if (reg >= Register::kConfig) return write_config(low(offset) - low(u64(Register::kConfig)), size, value);
  if (size == 4) write_register(reg, low(value));
}

void MmioTransport::reset() {
  MutexLock lock(mutex_);
  reset_all();
  device_features_select_ = driver_features_select_ = queue_select_ = 0;
  MutexLock signal_lock(signal_mutex_);
  told_ = false;
}

u64 MmioTransport::read_config(u32 offset, u32 size) {
  u64 value = 0;
  device_.read_config(offset, std::as_writable_bytes(std::span(&value, 1)).first(size));
  return value;
}

void MmioTransport::write_config(u32 offset, u32 size, u64 value) {
  if ((status_ & kFeaturesOk) == 0) return;
  device_.write_config(offset, std::as_bytes(std::span(&value, 1)).first(size));
}

u32 MmioTransport::read_register(Register reg) const {
  switch (reg) {
    case Register::kMagic:
      return kMagicValue;
    case Register::kVersion:
      return kVersionValue;
    case Register::kDeviceId:
      return static_cast<u32>(device_.id());
    case Register::kVendorId:
      return kVendorValue;
    case Register::kDeviceFeatures:
      return word(offered(), device_features_select_);
    case Register::kStatus:
      return status_ | (needs_reset_ ? u32{kNeedsReset} : 0);
    case Register::kSharedMemoryLengthLow:
    case Register::kSharedMemoryLengthHigh:
    case Register::kSharedMemoryBaseLow:
    case Register::kSharedMemoryBaseHigh:
      return ~u32{0};  // 4.2.2: no such region
    case Register::kConfigGeneration:
      return generation_;
    default:
      return read_queue(reg);
  }
}

u32 MmioTransport::read_queue(Register reg) const {
  if (queue_select_ >= slots_.size()) return 0;
  if (reg == Register::kQueueSizeMax) return device_.queue_max_size(queue_select_);
  if (reg == Register::kQueueReady) return slots_[queue_select_].ready ? 1 : 0;
  return 0;
}

void MmioTransport::write_register(Register reg, u32 value) {
  switch (reg) {
    case Register::kDeviceFeaturesSelect:
      device_features_select_ = value;
      return;
    case Register::kDriverFeaturesSelect:
      driver_features_select_ = value;
      return;
    case Register::kDriverFeatures:
      return write_driver_features(value);
    case Register::kQueueSelect:
      queue_select_ = value;
      return;
    case Register::kQueueNotify:
      return notify(value);
    case Register::kStatus:
      return write_status(value);
    default:
      return write_queue(reg, value);
  }
}

// -- Negotiation --------------------------------------------------------------------------------------

void MmioTransport::write_driver_features(u32 value) {
  if ((status_ & kDriver) == 0 || (status_ & kFeaturesOk) != 0) return;
  if (driver_features_select_ == 0) driver_features_ = with_low(driver_features_, value);
  if (driver_features_select_ == 1) driver_features_ = with_high(driver_features_, value);
}

bool MmioTransport::features_acceptable() const {
  return (driver_features_ & ~offered()) == 0 && (driver_features_ & kVersion1) != 0;
}

void MmioTransport::write_status(u32 value) {
  if (value == 0) return reset_all();
  if ((status_ & ~value) != 0) return;  // 3.1.1: a driver never clears a bit but by a reset
  for (const Step& step : kSteps) {
    const bool asked = (value & ~status_ & step.bit) != 0;
    if (asked && ((status_ & step.needs) != step.needs || !take_step(step.bit))) return;
  }
}

bool MmioTransport::take_step(u32 bit) {
  if (bit == kFeaturesOk && !features_acceptable()) return false;
  status_ |= bit;
  if (bit == kDriverOk) start();
  if (bit == kFailed) stop();
  return true;
}

void MmioTransport::reset_all() {
  stop();
  for (Slot& slot : slots_) slot = {{}, Queue::create_empty(), false};
  status_ = 0;
  driver_features_ = 0;
  needs_reset_ = false;
  acknowledge(~u32{0});
}

// -- Queues -------------------------------------------------------------------------------------------

void MmioTransport::write_queue(Register reg, u32 value) {
  if (queue_select_ >= slots_.size() || (status_ & kFeaturesOk) == 0) return;
  Slot& slot = slots_[queue_select_];
  if (reg == Register::kQueueReady) return write_ready(slot, (value & 1) != 0);
  if (slot.ready) return;
  RingLayout& layout = slot.layout;
  switch (reg) {
    case Register::kQueueSize:
      layout.size = value;
      return;
    case Register::kQueueDescriptorsLow:
      layout.descriptors.raw = with_low(layout.descriptors.raw, value);
      return;
    case Register::kQueueDescriptorsHigh:
      layout.descriptors.raw = with_high(layout.descriptors.raw, value);
      return;
    case Register::kQueueDriverLow:
      layout.driver.raw = with_low(layout.driver.raw, value);
      return;
    case Register::kQueueDriverHigh:
      layout.driver.raw = with_high(layout.driver.raw, value);
      return;
    case Register::kQueueDeviceLow:
      layout.device.raw = with_low(layout.device.raw, value);
      return;
    case Register::kQueueDeviceHigh:
      layout.device.raw = with_high(layout.device.raw, value);
      return;
    default:
      return;
  }
}

// A queue comes and goes with the device at rest, so that it never looks at one that is half there.
void MmioTransport::write_ready(Slot& slot, bool ready) {
  if (ready == slot.ready) return;
  stop();
  slot.ready = ready;
  slot.queue = Queue::create_empty();
  if (ready) make_queue(slot);
  if ((status_ & kDriverOk) != 0) start();
}

void MmioTransport::make_queue(Slot& slot) {
  const auto index = static_cast<u32>(&slot - slots_.data());
  auto broken = [this](std::string_view why) { fail(why); };
  auto queue = slot.layout.size <= device_.queue_max_size(index)
                   ? Queue::create(memory_, slot.layout, driver_features_, broken)
                   : nullptr;
  if (!queue) {
    slot.ready = false;
    return fail("a queue's size or place cannot be");
  }
  slot.queue = std::move(queue);
}

void MmioTransport::notify(u32 index) {
  if (live_ && !needs_reset_ && index < slots_.size() && slots_[index].ready) device_.notify(index);
}

void MmioTransport::start() {
  if (needs_reset_ || (status_ & kFailed) != 0) return;
  CHECK(!live_);
  live_ = true;
  device_.activate(*this, driver_features_);
  for (u32 i = 0; i < slots_.size(); ++i) notify(i);  // a driver may fill its queues before DRIVER_OK
}

void MmioTransport::stop() {
  if (live_) device_.reset();
  live_ = false;
}

// -- What the device reports --------------------------------------------------------------------------

Queue& MmioTransport::queue(u32 index) {
  CHECK(index < slots_.size());
  return *slots_[index].queue;
}

void MmioTransport::signal_used(u32 queue_index) {
  if (queue(queue_index).wants_interrupt()) interrupt(kUsedBuffer);
}

void MmioTransport::signal_config_changed() {
  ++generation_;
  interrupt(kConfigChange);
}

void MmioTransport::fail(std::string_view why) {
  needs_reset_ = true;
  interrupt(kConfigChange);
  MutexLock lock(signal_mutex_);
  if (std::exchange(told_, true)) return;
  log(LogLevel::kWarning, "{}: the guest's driver broke the device's rules ({}); it needs a reset", name(),
      why);
}

u32 MmioTransport::interrupt_status() {
  MutexLock lock(signal_mutex_);
  return interrupt_status_;
}

void MmioTransport::acknowledge(u32 bits) {
  MutexLock lock(signal_mutex_);
  interrupt_status_ &= ~bits;
  if (interrupt_status_ == 0) line_.set(false);
}

void MmioTransport::interrupt(u32 bits) {
  MutexLock lock(signal_mutex_);
  interrupt_status_ |= bits;
  line_.set(true);
}

}  // namespace cloister::device::virtio
