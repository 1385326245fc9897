// SPDX-License-Identifier: Apache-2.0
// The split ring, seen from the device.
//
// Who orders what. The driver fills descriptors, then the available ring's entry, then moves the index
// (release); the device loads the index (acquire), then reads the rest. Used entries go the other way. Both
// sides may also suppress the other's wake-up: "I write my event index, then look at your index; you write
// your index, then look at my event index". That is the store-buffer pattern, where acquire and release are
// not enough: a full fence stands between the store and the load in enable_notification() and
// wants_interrupt().
//
// Trust. The guest may change any word of the ring at any time, so each is read once and checked after. A
// walk ends after as many descriptors as the table has: a longer one goes in a circle.
#include "device/virtio/split_queue.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <utility>

#include "base/check.h"

namespace cloister::device::virtio {
namespace {

constexpr u16 kNoInterrupt = 1;     // available ring's flags
constexpr u16 kNoNotification = 1;  // used ring's flags

}  // namespace

bool SplitQueue::fits(const memory::GuestMemory& memory, const RingLayout& layout) {
  const u64 size = layout.size;
  const bool aligned =
      layout.descriptors.raw % 16 == 0 && layout.driver.raw % 2 == 0 && layout.device.raw % 4 == 0;
  return std::has_single_bit(size) && size <= kMaxQueueSize && aligned &&
         memory.contains(layout.descriptors, size * kDescriptorSize) &&
         memory.contains(layout.driver, 6 + size * 2) && memory.contains(layout.device, 6 + size * 8);
}

SplitQueue::SplitQueue(memory::GuestMemory& memory, const RingLayout& layout, u64 features, Broken on_broken)
    : Queue(&memory, layout, features, std::move(on_broken)), table_{layout.descriptors, layout.size} {
  CHECK(fits(memory, layout));
}

u16 SplitQueue::available() const { return memory_->load<u16>(available_index()).value_or(next_available_); }

bool SplitQueue::empty() { return broken_ || available() == next_available_; }

std::optional<Chain> SplitQueue::pop() {
  if (broken_) return std::nullopt;
  const u16 waiting = static_cast<u16>(available() - next_available_);
  if (waiting == 0) return std::nullopt;
  if (waiting > layout_.size) return broke("the available index ran past the ring"), std::nullopt;
  if (out_ == layout_.size) return broke("more buffers are out than the ring holds"), std::nullopt;
  const auto head = memory_->load<u16>(available_entry(next_available_));
  return head ? take(*head) : std::nullopt;
}

std::optional<Chain> SplitQueue::take(u16 head) {
  Chain chain(*memory_);
  if (!walk(chain, table_, head)) return std::nullopt;
  chain.id_ = head;
  ++next_available_;
  ++out_;
  return chain;
}

bool SplitQueue::walk(Chain& chain, const DescriptorTable& table, u32 index) {
  for (u32 steps = 0; steps < std::min(table.entries, Chain::kMaxSegments); ++steps) {
    if (index >= table.entries) return broke("a descriptor's index lies outside of its table");
    const auto descriptor = table.read<SplitDescriptor>(*memory_, index);
    if (!descriptor) return broke("a descriptor table lies outside of memory");
    if ((descriptor->flags & kIndirect) != 0) {
      return &table == &table_ ? walk_indirect(chain, *descriptor) : broke("an indirect table is nested");
    }
    const Segment segment{{descriptor->address}, descriptor->length};
    if (!append(chain, segment, (descriptor->flags & kWrite) != 0)) return false;
    if ((descriptor->flags & kNext) == 0) return true;
    index = descriptor->next;
  }
  return broke("the descriptors go in a circle, or are too many");
}

bool SplitQueue::walk_indirect(Chain& chain, const SplitDescriptor& descriptor) {
  if (!indirect_) return broke("an indirect table was not negotiated");
  if ((descriptor.flags & kNext) != 0) return broke("an indirect table is not the chain's end");
  if (descriptor.length == 0 || descriptor.length % kDescriptorSize != 0) {
    return broke("an indirect table's length is no multiple of a descriptor");
  }
  return walk(chain, {{descriptor.address}, descriptor.length / kDescriptorSize}, 0);
}

void SplitQueue::undo_pop() {
  CHECK(out_ > 0);
  --out_;
  --next_available_;
}

void SplitQueue::push_all(std::span<const Chain> chains) {
  if (broken_) return;
  CHECK(out_ >= chains.size());
  for (const Chain& chain : chains) {
    const GuestPhys entry = used_entry(next_used_);
    memory_->store<u32>(entry, chain.id_);
    memory_->store<u32>(entry + 4, chain.written());
    ++next_used_;
  }
  memory_->store<u16>(used_index(), next_used_);
  unsignalled_ += static_cast<u32>(chains.size());
  out_ -= static_cast<u32>(chains.size());
}

bool SplitQueue::wants_interrupt() {
  const u32 pushed = std::exchange(unsignalled_, 0);
  if (pushed == 0 || broken_) return false;
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (!event_index_) return (memory_->load<u16>(available_flags()).value_or(0) & kNoInterrupt) == 0;
  const u16 event = memory_->load<u16>(used_event()).value_or(0);
  return pushed > layout_.size || event_passed(event, next_used_, static_cast<u16>(next_used_ - pushed));
}

void SplitQueue::enable_notification(bool enable) {
  if (broken_) return;
  if (!event_index_) {
    memory_->store<u16>(used_flags(), enable ? 0 : kNoNotification);
  } else if (enable) {
    memory_->store<u16>(available_event(), next_available_);
  }
  if (enable) std::atomic_thread_fence(std::memory_order_seq_cst);
}

}  // namespace cloister::device::virtio
