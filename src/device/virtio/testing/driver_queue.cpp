// SPDX-License-Identifier: Apache-2.0
#include "device/virtio/testing/driver_queue.h"

#include <atomic>
#include <utility>

#include "base/check.h"
#include "device/virtio/device.h"

namespace cloister::device::virtio::testing {
namespace {

// A buffer as a flat list, in the order of the ring.
struct Piece {
  Segment segment;
  u16 flags;  // kWrite, and kNext on all but the last
};

std::vector<Piece> flatten(const Buffer& buffer) {
  std::vector<Piece> pieces;
  for (const Segment& segment : buffer.out) pieces.push_back({segment, kNext});
  for (const Segment& segment : buffer.in) pieces.push_back({segment, kNext | kWrite});
  CHECK(!pieces.empty());
  pieces.back().flags &= static_cast<u16>(~kNext);
  return pieces;
}

template <typename Descriptor>
std::span<const std::byte> bytes_of_one(const Descriptor& descriptor) {
  return std::as_bytes(std::span(&descriptor, 1));
}

void fence() { std::atomic_thread_fence(std::memory_order_seq_cst); }

class SplitDriverQueue final : public DriverQueue {
 public:
  SplitDriverQueue(memory::GuestMemory& memory, const RingLayout& layout, u64 features)
      : DriverQueue(memory, layout, features), links_(layout.size) {
    for (u32 i = 0; i < layout.size; ++i) free_.push_back(static_cast<u16>(layout.size - 1 - i));
  }

  std::optional<u16> add(const Buffer& buffer) override {
    const auto pieces = flatten(buffer);
    const std::size_t slots = buffer.table ? 1 : pieces.size();
    if (free_.size() < slots) return std::nullopt;
    std::vector<u16> taken(free_.end() - static_cast<std::ptrdiff_t>(slots), free_.end());
    free_.resize(free_.size() - slots);
    buffer.table ? put_indirect(*buffer.table, taken.front(), pieces) : put_chain(taken, pieces);
    const u16 head = taken.front();
    links_[head] = std::move(taken);
    publish(head);
    return head;
  }

  std::optional<Used> take_used() override {
    if (get<u16>(layout_.device + 2) == used_) return std::nullopt;
    const GuestPhys entry = layout_.device + 4 + u64{8} * (used_ % layout_.size);
    ++used_;
    const auto id = static_cast<u16>(get<u32>(entry));
    auto slots = std::exchange(links_.at(id), {});
    CHECK(!slots.empty());
    free_.insert(free_.end(), slots.begin(), slots.end());
    return Used{id, get<u32>(entry + 4)};
  }

  bool should_notify() override {
    fence();
    const u16 old = std::exchange(notified_, available_);
    if (!event_index_) return get<u16>(layout_.device) == 0;
    return event_passed(get<u16>(layout_.device + 4 + u64{8} * layout_.size), available_, old);
  }

  void silence() override {
    event_index_ ? put<u16>(used_event(), static_cast<u16>(used_ - 1)) : put<u16>(layout_.driver, 1);
  }

  void ask_interrupt(u16 skipped) override {
    event_index_ ? put<u16>(used_event(), static_cast<u16>(used_ + skipped)) : put<u16>(layout_.driver, 0);
    fence();
  }

 private:
  GuestPhys available_entry(u16 index) const { return layout_.driver + 4 + u64{2} * (index % layout_.size); }
  GuestPhys used_event() const { return layout_.driver + 4 + u64{2} * layout_.size; }
  GuestPhys slot(u16 index) const { return layout_.descriptors + u64{kDescriptorSize} * index; }

  void put_chain(const std::vector<u16>& slots, const std::vector<Piece>& pieces) {
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      const u16 next = i + 1 < slots.size() ? slots[i + 1] : u16{0};
      const SplitDescriptor descriptor{pieces[i].segment.address.raw, pieces[i].segment.length,
                                       pieces[i].flags, next};
      put_descriptor(slot(slots[i]), bytes_of_one(descriptor));
    }
  }

  void put_indirect(GuestPhys table, u16 head, const std::vector<Piece>& pieces) {
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      const SplitDescriptor descriptor{pieces[i].segment.address.raw, pieces[i].segment.length,
                                       pieces[i].flags, static_cast<u16>(i + 1)};
      put_descriptor(table + i * kDescriptorSize, bytes_of_one(descriptor));
    }
    const SplitDescriptor outer{table.raw, static_cast<u32>(pieces.size() * kDescriptorSize), kIndirect, 0};
    put_descriptor(slot(head), bytes_of_one(outer));
  }

  void publish(u16 head) {
    put<u16>(available_entry(available_), head);
    put<u16>(layout_.driver + 2, ++available_);
  }

  std::vector<u16> free_;
  std::vector<std::vector<u16>> links_;  // by head: the slots of a buffer that is out
  u16 available_ = 0;
  u16 used_ = 0;
  u16 notified_ = 0;
};

class PackedDriverQueue final : public DriverQueue {
 public:
  PackedDriverQueue(memory::GuestMemory& memory, const RingLayout& layout, u64 features)
      : DriverQueue(memory, layout, features), free_slots_(layout.size), slots_of_(layout.size) {
    for (u32 i = 0; i < layout.size; ++i) free_ids_.push_back(static_cast<u16>(layout.size - 1 - i));
  }

  std::optional<u16> add(const Buffer& buffer) override {
    const auto pieces = flatten(buffer);
    const u32 slots = buffer.table ? 1 : static_cast<u32>(pieces.size());
    if (free_slots_ < slots) return std::nullopt;
    const u16 id = free_ids_.back();
    free_ids_.pop_back();
    free_slots_ -= slots;
    slots_of_[id] = slots;
    buffer.table ? put_indirect(*buffer.table, id, pieces) : put_chain(id, pieces);
    added_ += slots;
    return id;
  }

  std::optional<Used> take_used() override {
    const GuestPhys at = slot(used_.index);
    const u16 round = used_.wrap ? kAvailable | kUsed : 0;
    if ((get<u16>(at + 14) & (kAvailable | kUsed)) != round) return std::nullopt;
    const u16 id = get<u16>(at + 12);
    const u32 slots = std::exchange(slots_of_.at(id), 0);
    CHECK(slots > 0);
    free_slots_ += slots;
    free_ids_.push_back(id);
    used_.advance(slots, layout_.size);
    return Used{id, get<u32>(at + 8)};
  }

  bool should_notify() override {
    fence();
    const u32 added = std::exchange(added_, 0);
    const u16 flags = get<u16>(layout_.device + 2);
    if (flags != 2 || !event_index_) return flags == 0;
    const u16 event = get<u16>(layout_.device);
    const u32 slot = (event & 0x7fffu) - (((event >> 15) != 0) == next_.wrap ? 0 : layout_.size);
    return event_passed(static_cast<u16>(slot), static_cast<u16>(next_.index),
                        static_cast<u16>(next_.index - added));
  }

  void silence() override { put<u16>(layout_.driver + 2, 1); }

  void ask_interrupt(u16 skipped) override {
    Position at = used_;
    at.advance(skipped, layout_.size);
    put<u16>(layout_.driver, static_cast<u16>(at.index | (at.wrap ? 0x8000u : 0)));
    put<u16>(layout_.driver + 2, event_index_ ? 2 : 0);
    fence();
  }

 private:
  struct Position {
    u32 index = 0;
    bool wrap = true;
    void advance(u32 slots, u32 size) {
      index += slots;
      if (index < size) return;
      index -= size;
      wrap = !wrap;
    }
  };

  GuestPhys slot(u32 index) const { return layout_.descriptors + u64{kDescriptorSize} * index; }
  u16 round() const { return next_.wrap ? u16{kAvailable} : u16{kUsed}; }

  // All slots of a buffer but for the first one's flags, and then those.
  void put_chain(u16 id, const std::vector<Piece>& pieces) {
    const GuestPhys first = slot(next_.index);
    const auto first_flags = static_cast<u16>(pieces.front().flags | round());
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      const Piece& piece = pieces[i];
      const GuestPhys at = slot(next_.index);
      put<u64>(at, piece.segment.address.raw);
      put<u32>(at + 8, piece.segment.length);
      put<u16>(at + 12, id);
      if (i > 0) put<u16>(at + 14, static_cast<u16>(piece.flags | round()));
      next_.advance(1, layout_.size);
    }
    put<u16>(first + 14, first_flags);
  }

  void put_indirect(GuestPhys table, u16 id, const std::vector<Piece>& pieces) {
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      const PackedDescriptor descriptor{pieces[i].segment.address.raw, pieces[i].segment.length, 0,
                                        static_cast<u16>(pieces[i].flags & kWrite)};
      put_descriptor(table + i * kDescriptorSize, bytes_of_one(descriptor));
    }
    put_chain(id, {{{table, static_cast<u32>(pieces.size() * kDescriptorSize)}, kIndirect}});
  }

  u32 free_slots_;
  std::vector<u16> free_ids_;
  std::vector<u32> slots_of_;  // by id, of a buffer that is out
  Position next_;
  Position used_;
  u32 added_ = 0;  // slots since should_notify()
};

}  // namespace

DriverQueue::DriverQueue(memory::GuestMemory& memory, const RingLayout& layout, u64 features)
    : memory_(memory), layout_(layout), event_index_((features & kEventIndex) != 0) {}

std::unique_ptr<DriverQueue> DriverQueue::create(memory::GuestMemory& memory, const RingLayout& layout,
                                                 u64 features) {
  if ((features & kPackedRing) != 0) return std::make_unique<PackedDriverQueue>(memory, layout, features);
  return std::make_unique<SplitDriverQueue>(memory, layout, features);
}

}  // namespace cloister::device::virtio::testing
