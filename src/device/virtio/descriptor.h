// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <span>

#include "base/units.h"
#include "memory/guest_memory.h"

// The rings' layouts in guest memory (virtio 1.2, 2.7 and 2.8). Little-endian, as host and guest are.
namespace cloister::device::virtio {

enum DescriptorFlag : u16 {
  kNext = 1,
  kWrite = 2,
  kIndirect = 4,
  kAvailable = 1 << 7,  // packed rings only
  kUsed = 1 << 15,
};

struct SplitDescriptor {
  u64 address;
  u32 length;
  u16 flags;
  u16 next;
};

struct PackedDescriptor {
  u64 address;
  u32 length;
  u16 id;
  u16 flags;
};

inline constexpr u32 kDescriptorSize = 16;
static_assert(sizeof(SplitDescriptor) == kDescriptorSize && sizeof(PackedDescriptor) == kDescriptorSize);

inline constexpr u32 kMaxQueueSize = 32768;

// A table of descriptors: the ring's own, or an indirect one.
struct DescriptorTable {
  GuestPhys base;
  u32 entries = 0;

  GuestPhys at(u32 index) const { return base + u64{index} * kDescriptorSize; }

  // One read of the whole descriptor: what is checked is what is used, whatever the guest writes meanwhile.
  template <typename Descriptor>
  std::optional<Descriptor> read(memory::GuestMemory& memory, u32 index) const {
    Descriptor descriptor{};
    if (!memory.read(at(index), std::as_writable_bytes(std::span(&descriptor, 1)))) return std::nullopt;
    return descriptor;
  }
};

// Whether the step from `old_index` to `new_index` passed `event` (virtio 1.2, 2.7.10); all modulo 2^16.
constexpr bool event_passed(u16 event, u16 new_index, u16 old_index) {
  return static_cast<u16>(new_index - event - 1) < static_cast<u16>(new_index - old_index);
}

}  // namespace cloister::device::virtio
