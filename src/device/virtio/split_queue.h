// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "device/virtio/descriptor.h"
#include "device/virtio/queue.h"

namespace cloister::device::virtio {

// The split virtqueue of virtio 1.2, 2.7.
class SplitQueue final : public Queue {
 public:
  // Whether the layout is a split ring in memory.
  static bool fits(const memory::GuestMemory& memory, const RingLayout& layout);

  // Precondition: fits().
  SplitQueue(memory::GuestMemory& memory, const RingLayout& layout, u64 features, Broken on_broken);

  bool empty() override;
  std::optional<Chain> pop() override;
  void undo_pop() override;
  void push_all(std::span<const Chain> chains) override;
  bool wants_interrupt() override;
  void enable_notification(bool enable) override;

 private:
  u16 available() const;  // the driver's index
  std::optional<Chain> take(u16 head);
  bool walk(Chain& chain, const DescriptorTable& table, u32 first);
  bool walk_indirect(Chain& chain, const SplitDescriptor& descriptor);

  // Fields of the rings.
  GuestPhys available_flags() const { return layout_.driver; }
  GuestPhys available_index() const { return layout_.driver + 2; }
  GuestPhys available_entry(u16 index) const { return layout_.driver + 4 + u64{2} * (index % layout_.size); }
  GuestPhys used_event() const { return layout_.driver + 4 + u64{2} * layout_.size; }
  GuestPhys used_flags() const { return layout_.device; }
  GuestPhys used_index() const { return layout_.device + 2; }
  GuestPhys used_entry(u16 index) const { return layout_.device + 4 + u64{8} * (index % layout_.size); }
  GuestPhys available_event() const { return layout_.device + 4 + u64{8} * layout_.size; }

  const DescriptorTable table_;
  u16 next_available_ = 0;  // free-running, as all indices of a split ring
  u16 next_used_ = 0;
  u32 unsignalled_ = 0;  // pushed since wants_interrupt()
  u32 out_ = 0;          // Invariant: at most size()
};

}  // namespace cloister::device::virtio
