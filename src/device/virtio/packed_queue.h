// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "device/virtio/descriptor.h"
#include "device/virtio/queue.h"

namespace cloister::device::virtio {

// The packed virtqueue of virtio 1.2, 2.8.
class PackedQueue final : public Queue {
 public:
  // Whether the layout is a packed ring in memory.
  static bool fits(const memory::GuestMemory& memory, const RingLayout& layout);

  // Precondition: fits().
  PackedQueue(memory::GuestMemory& memory, const RingLayout& layout, u64 features, Broken on_broken);

  bool empty() override;
  std::optional<Chain> pop() override;
  void undo_pop() override;
  void push_all(std::span<const Chain> chains) override;
  bool wants_interrupt() override;
  void enable_notification(bool enable) override;

 private:
  // A place in the ring, and on which of two alternating rounds.
  struct Position {
    u32 index = 0;
    bool wrap = true;
    // Precondition: slots <= size.
    Position after(u32 slots, u32 size) const {
      const u32 next = index + slots;
      return next < size ? Position{next, wrap} : Position{next - size, !wrap};
    }
    u16 packed() const { return static_cast<u16>(index | (wrap ? 1u << 15 : 0)); }
  };

  bool is_available(u16 flags) const;
  bool walk(Chain& chain);
  bool walk_indirect(Chain& chain, const PackedDescriptor& descriptor);
  u16 used_flags(const Chain& chain) const;  // of the next used slot, when `chain` goes there
  bool passed(u16 event_offset_and_wrap, u32 pushed) const;

  const DescriptorTable table_;
  Position next_available_;
  Position before_pop_;  // for undo_pop()
  Position next_used_;
  u32 unsignalled_ = 0;  // slots pushed since wants_interrupt()
  u32 out_ = 0;          // slots. Invariant: at most size()
};

}  // namespace cloister::device::virtio
