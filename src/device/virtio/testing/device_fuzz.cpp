// SPDX-License-Identifier: Apache-2.0
#include "device/virtio/testing/device_fuzz.h"

#include <array>
#include <cstring>

#include "base/log.h"
#include "device/virtio/descriptor.h"

namespace cloister::device::virtio::testing {
namespace {

// Known places in memory: a page each for the three parts of up to 8 queues; the rest is for buffers.
constexpr u32 kSlots = 16;  // of each queue
constexpr u64 kBuffersAt = 0x20000;
constexpr u32 kLive = kAcknowledge | kDriver | kFeaturesOk | kDriverOk;

constexpr std::array<u32, 8> kLengths = {0, 1, 16, 20, 32, 512, 1024, 4096};

enum Kind : u8 {
  kWriteRegister,
  kReadRegister,
  kWriteMemory,
  kBringUp,
  kPutDescriptor,
  kPutAvailable,
  kNotify,
  kOutside,
  kPutHeader,
  kSubmit,
  kKinds,
};

}  // namespace

DeviceFuzz::DeviceFuzz(Device& device) : device_(device), guest_(device, kMemory) {
  set_log_level(LogLevel::kError);
}

void DeviceFuzz::run(std::span<const unsigned char> input, const std::function<void(u64)>& outside) {
  CHECK(guest_.memory().fill_zero(Guest::kBase, kMemory));
  brought_up_ = packed_ = false;
  Step step{};
  for (; input.size() >= sizeof(step); input = input.subspan(sizeof(step))) {
    std::memcpy(&step, input.data(), sizeof(step));
    if (step.kind % kKinds != kOutside) {
      take(step);
    } else if (outside) {
      outside(step.value);
    }
  }
  guest_.transport().reset();
}

void DeviceFuzz::take(const Step& step) {
  const u32 width = u32{1} << (step.small & 3);
  const u64 offset = step.medium % 0x200 / width * width;
  switch (step.kind % kKinds) {
    case kWriteRegister:
      return guest_.transport().write(offset, width, step.value);
    case kReadRegister:
      return (void)guest_.transport().read(offset, width);
    case kWriteMemory:
      CHECK(guest_.memory().write(somewhere(step.large), std::as_bytes(std::span(&step.value, 1))));
      return;
    case kBringUp:
      return bring_up(step);
    case kPutDescriptor:
      return put_descriptor(step);
    case kPutAvailable:
      return put_available(step);
    case kNotify:
      return guest_.notify(step.small % 8);
    case kPutHeader:
      return put_request_header(step);
    default:
      return submit(step);
  }
}

RingLayout DeviceFuzz::place_of(u32 queue) const {
  const GuestPhys at = Guest::kBase + u64{queue % 8} * 0x3000;
  return {kSlots, at, at + 0x1000, at + 0x2000};
}

void DeviceFuzz::bring_up(const Step& step) {
  const u64 wanted = step.value & guest_.device_features();
  packed_ = (wanted & kPackedRing) != 0;
  guest_.reset();
  if (!guest_.negotiate(wanted | kVersion1)) return;
  for (u32 queue = 0; queue < std::min(device_.queue_count(), 8u); ++queue) {
    guest_.set_up_queue(queue, place_of(queue));
  }
  guest_.write(Register::kStatus, kLive);
  brought_up_ = true;
}

// In a queue's table, or among the buffers as part of an indirect one.
void DeviceFuzz::put_descriptor(const Step& step) {
  const GuestPhys table =
      (step.small & 0x80) != 0 ? Guest::kBase + kBuffersAt : place_of(step.small).descriptors;
  const u32 length = (step.large >> 28) == 0 ? step.large : step.large % 4096;
  const u64 address = (step.value >> 60) == 0 ? step.value : Guest::kBase.raw + step.value % kMemory.raw;
  const u16 slot = step.medium % kSlots;
  const u16 flags = (step.medium >> 4) % 8;
  const auto next = static_cast<u16>((step.medium >> 7) % 32);
  const SplitDescriptor split{address, length, flags, next};
  const auto round = static_cast<u16>((step.medium & 0x1000) != 0 ? u32{kUsed} : u32{kAvailable});
  const PackedDescriptor packed{address, length, next, static_cast<u16>(flags | round)};
  const auto bytes = packed_ ? std::as_bytes(std::span(&packed, 1)) : std::as_bytes(std::span(&split, 1));
  CHECK(guest_.memory().write(table + u64{slot} * kDescriptorSize, bytes));
}

void DeviceFuzz::put_available(const Step& step) {
  const GuestPhys ring = place_of(step.small).driver;
  CHECK(guest_.memory().store<u16>(ring + 4 + step.medium % kSlots * u64{2}, static_cast<u16>(step.value)));
  CHECK(guest_.memory().store<u16>(ring + 2, static_cast<u16>(step.large)));
}

// A small type, a small number: how most devices' requests begin.
void DeviceFuzz::put_request_header(const Step& step) {
  const std::array<u64, 2> header = {step.small % 16u | (step.value & ~u64{0xffff'ffff}), step.large};
  CHECK(guest_.memory().write(Guest::kBase + kBuffersAt + step.medium % 64 * u64{512},
                              std::as_bytes(std::span(header))));
}

// A request in a chain of good form: header, data, room for data, room for a status.
void DeviceFuzz::submit(const Step& step) {
  const u32 queue = step.small / 16 % device_.queue_count();
  if (!brought_up_ || guest_.read(Register::kStatus) != kLive) return;
  put_request_header(step);
  const GuestPhys header = Guest::kBase + kBuffersAt + step.medium % 64 * u64{512};
  const u32 out = kLengths[step.value % kLengths.size()], in = kLengths[step.value / 16 % kLengths.size()];
  Buffer buffer;
  buffer.out = {{header, 16}, {somewhere(step.large), out}};
  buffer.in = {{somewhere(static_cast<u32>(step.value)), in}, {Guest::kBase + kMemory.raw - 16, 1}};
  if ((step.value & 0x100) != 0) buffer.table = Guest::kBase + kBuffersAt + 0x10000;
  if ((step.value & 0x200) != 0) buffer.out.clear();
  if ((step.value & 0x400) != 0) buffer.in.clear();
  if (buffer.out.empty() && buffer.in.empty()) return;
  if (guest_.queue(queue).add(buffer)) guest_.notify(queue);
}

}  // namespace cloister::device::virtio::testing
