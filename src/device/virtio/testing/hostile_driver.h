// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <span>
#include <vector>

#include "base/units.h"
#include "device/virtio/testing/guest.h"

// For fuzzers: a guest that does to a device what the fuzzer's bytes say.
namespace cloister::device::virtio::testing {

// The fuzzer's bytes, taken from the front; zeros when they are used up.
class FuzzInput {
 public:
  FuzzInput(const u8* data, size_t size) : rest_(data, size) {}

  bool empty() const { return rest_.empty(); }
  template <typename T>
  T take() {
    T value{};
    fill(std::as_writable_bytes(std::span(&value, 1)));
    return value;
  }
  // 0 to bound - 1.
  u32 below(u32 bound) { return bound <= 256 ? take<u8>() % bound : take<u32>() % bound; }
  std::vector<std::byte> bytes(size_t count) {
    std::vector<std::byte> taken(count);
    fill(taken);
    return taken;
  }

 private:
  void fill(std::span<std::byte> to) {
    const auto there = std::as_bytes(rest_.first(std::min(to.size(), rest_.size())));
    std::copy(there.begin(), there.end(), to.begin());
    rest_ = rest_.subspan(there.size());
  }

  std::span<const u8> rest_;
};

class HostileDriver {
 public:
  HostileDriver(Guest& guest, u32 queues, u64 device_features)
      : guest_(guest), queues_(queues), device_features_(device_features) {}

  // Starts the device with a choice of features.
  void start(FuzzInput& input) {
    static constexpr u64 kRings[] = {0, kEventIndex, kPackedRing, kPackedRing | kEventIndex};
    guest_.reset();
    const u64 indirect = input.below(2) == 0 ? 0 : kIndirectDescriptors;
    guest_.start(kVersion1 | indirect | kRings[input.below(4)] | (input.take<u64>() & device_features_));
    memory_used_ = 0;
  }

  // A buffer of `out` for the device to read, in up to three segments, and `in` bytes for it to write.
  void submit(u32 index, std::span<const std::byte> out, u32 in, FuzzInput& input) {
    memory_used_ += out.size() + in + 64;
    if (memory_used_ > kMemoryBudget) start(input);
    Buffer buffer;
    const GuestPhys at = guest_.place(out);
    const u32 size = static_cast<u32>(out.size());
    const u32 first = size == 0 ? 0 : input.below(size + 1);
    if (first > 0) buffer.out.push_back({at, first});
    if (size > first) buffer.out.push_back({at + first, size - first});
    if (in > 0) buffer.in.push_back({guest_.allocate(in), in});
    if (buffer.out.empty() && buffer.in.empty()) return;
    if (guest_.queue(index).add(buffer)) guest_.notify(index);
  }

  // One of the things that no honest driver does.
  void misbehave(FuzzInput& input) {
    switch (input.below(5)) {
      case 0:
        return guest_.notify(input.below(queues_ + 1));
      case 1: {
        // The rings lie in the first pages.
        const GuestPhys at = Guest::kBase + input.below(0x8000);
        CHECK(guest_.memory().write(at, input.bytes(1 + input.below(16))));
        return guest_.notify(input.below(queues_));
      }
      case 2:
        return guest_.transport().write(input.below(0x200), 4, input.take<u32>());
      case 3:
        return guest_.reset();
      default:
        return start(input);
    }
  }

 private:
  static constexpr u64 kMemoryBudget = 4 * kMiB;

  Guest& guest_;
  const u32 queues_;
  const u64 device_features_;
  u64 memory_used_ = 0;
};

}  // namespace cloister::device::virtio::testing
