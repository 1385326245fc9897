// SPDX-License-Identifier: Apache-2.0
// The packed ring, seen from the device.
//
// One table serves both directions. A slot is available when its AVAIL bit equals the driver's round and its
// USED bit does not, and used when both equal the device's round. So the flags word of a buffer's first slot
// is what hands it over: loaded first with acquire, stored last with release. The other slots of a buffer
// were written before it and are read after it. A used buffer takes one slot and skips the rest of those that
// it had.
//
// Fences and trust are as in the split ring (split_queue.cpp).
#include "device/virtio/packed_queue.h"

#include <atomic>
#include <utility>

#include "base/check.h"

namespace cloister::device::virtio {
namespace {

constexpr u64 kIdAt = 12, kLengthAt = 8, kFlagsAt = 14;  // in a descriptor
constexpr u64 kEventFlagsAt = 2;  // in an event suppression area, after offset and wrap

enum EventFlag : u16 { kEnable = 0, kDisable = 1, kAtDescriptor = 2 };

}  // namespace

bool PackedQueue::fits(const memory::GuestMemory& memory, const RingLayout& layout) {
  const u64 size = layout.size;
  const bool aligned =
      layout.descriptors.raw % 16 == 0 && layout.driver.raw % 4 == 0 && layout.device.raw % 4 == 0;
  return size > 0 && size <= kMaxQueueSize && aligned &&
         memory.contains(layout.descriptors, size * kDescriptorSize) && memory.contains(layout.driver, 4) &&
         memory.contains(layout.device, 4);
}

PackedQueue::PackedQueue(memory::GuestMemory& memory, const RingLayout& layout, u64 features,
                         Broken on_broken)
    : Queue(&memory, layout, features, std::move(on_broken)), table_{layout.descriptors, layout.size} {
  CHECK(fits(memory, layout));
}

bool PackedQueue::is_available(u16 flags) const {
  return ((flags & kAvailable) != 0) == next_available_.wrap &&
         ((flags & kUsed) != 0) != next_available_.wrap;
}

bool PackedQueue::empty() {
  return broken_ ||
         !is_available(memory_->load<u16>(table_.at(next_available_.index) + kFlagsAt).value_or(0));
}

std::optional<Chain> PackedQueue::pop() {
  if (empty()) return std::nullopt;
  Chain chain(*memory_);
  if (!walk(chain)) return std::nullopt;
  before_pop_ = next_available_;
  next_available_ = next_available_.after(chain.descriptors_, layout_.size);
  out_ += chain.descriptors_;
  return chain;
}

bool PackedQueue::walk(Chain& chain) {
  for (Position at = next_available_; out_ + chain.descriptors_ < layout_.size;
       at = at.after(1, layout_.size)) {
    const auto descriptor = table_.read<PackedDescriptor>(*memory_, at.index);
    if (!descriptor) return broke("the descriptor table lies outside of memory");
    ++chain.descriptors_;
    chain.id_ = descriptor->id;
    if ((descriptor->flags & kIndirect) != 0) return walk_indirect(chain, *descriptor);
    const Segment segment{{descriptor->address}, descriptor->length};
    if (!append(chain, segment, (descriptor->flags & kWrite) != 0)) return false;
    if ((descriptor->flags & kNext) == 0) return true;
  }
  return broke("more descriptors are out than the ring holds");
}

bool PackedQueue::walk_indirect(Chain& chain, const PackedDescriptor& indirect) {
  if (!indirect_) return broke("an indirect table was not negotiated");
  if ((indirect.flags & kNext) != 0) return broke("an indirect table is not the chain's end");
  if (indirect.length == 0 || indirect.length % kDescriptorSize != 0) {
    return broke("an indirect table's length is no multiple of a descriptor");
  }
  const DescriptorTable table{{indirect.address}, indirect.length / kDescriptorSize};
  if (table.entries > Chain::kMaxSegments) return broke("an indirect table is too long");
  for (u32 i = 0; i < table.entries; ++i) {
    const auto descriptor = table.read<PackedDescriptor>(*memory_, i);
    if (!descriptor) return broke("an indirect table lies outside of memory");
    if ((descriptor->flags & kIndirect) != 0) return broke("an indirect table is nested");
    const Segment segment{{descriptor->address}, descriptor->length};
    if (!append(chain, segment, (descriptor->flags & kWrite) != 0)) return false;
  }
  return true;
}

void PackedQueue::undo_pop() {
  const u32 slots = (next_available_.index + layout_.size - before_pop_.index) % layout_.size;
  out_ -= slots == 0 ? layout_.size : slots;
  next_available_ = before_pop_;
  CHECK(out_ < layout_.size);
}

// The driver looks at the used slots in order, so the first one's flags, stored last, hand over all.
void PackedQueue::push_all(std::span<const Chain> chains) {
  if (broken_ || chains.empty()) return;
  const GuestPhys first_flags = table_.at(next_used_.index) + kFlagsAt;
  const u16 first = used_flags(chains.front());
  for (const Chain& chain : chains) {
    CHECK(out_ >= chain.descriptors_);
    const GuestPhys slot = table_.at(next_used_.index);
    memory_->store<u16>(slot + kIdAt, chain.id_);
    memory_->store<u32>(slot + kLengthAt, chain.written());
    if (slot + kFlagsAt != first_flags) memory_->store<u16>(slot + kFlagsAt, used_flags(chain));
    next_used_ = next_used_.after(chain.descriptors_, layout_.size);
    unsignalled_ += chain.descriptors_;
    out_ -= chain.descriptors_;
  }
  memory_->store<u16>(first_flags, first);
}

u16 PackedQueue::used_flags(const Chain& chain) const {
  return static_cast<u16>((next_used_.wrap ? kAvailable | kUsed : 0) | (chain.written() > 0 ? kWrite : 0));
}

bool PackedQueue::wants_interrupt() {
  const u32 pushed = std::exchange(unsignalled_, 0);
  if (pushed == 0 || broken_) return false;
  std::atomic_thread_fence(std::memory_order_seq_cst);
  const u16 flags = memory_->load<u16>(layout_.driver + kEventFlagsAt).value_or(kEnable);
  if (flags == kDisable) return false;
  if (flags != kAtDescriptor || !event_index_) return true;
  return passed(memory_->load<u16>(layout_.driver).value_or(0), pushed);
}

// The event is a slot on one of two rounds. Counted from the start of the round that the device is on, a slot
// of the other round lies one ring before.
bool PackedQueue::passed(u16 event, u32 pushed) const {
  if (pushed > layout_.size) return true;
  const bool same_round = ((event >> 15) != 0) == next_used_.wrap;
  const u32 slot = (event & 0x7fffu) - (same_round ? 0 : layout_.size);
  return event_passed(static_cast<u16>(slot), static_cast<u16>(next_used_.index),
                      static_cast<u16>(next_used_.index - pushed));
}

void PackedQueue::enable_notification(bool enable) {
  if (broken_) return;
  if (enable && event_index_) memory_->store<u16>(layout_.device, next_available_.packed());
  const u16 enabled = event_index_ ? kAtDescriptor : kEnable;
  memory_->store<u16>(layout_.device + kEventFlagsAt, enable ? enabled : u16{kDisable});
  if (enable) std::atomic_thread_fence(std::memory_order_seq_cst);
}

}  // namespace cloister::device::virtio
