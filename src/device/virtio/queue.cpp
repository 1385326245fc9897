// SPDX-License-Identifier: Apache-2.0
#include "device/virtio/queue.h"

#include <limits>
#include <utility>

#include "base/check.h"
#include "device/virtio/device.h"
#include "device/virtio/packed_queue.h"
#include "device/virtio/split_queue.h"

namespace cloister::device::virtio {
namespace {

class EmptyQueue final : public Queue {
 public:
  EmptyQueue() : Queue(nullptr, {}, 0, nullptr) {}
  bool empty() override { return true; }
  std::optional<Chain> pop() override { return std::nullopt; }
  void undo_pop() override { CHECK(false); }
  void push_all(std::span<const Chain>) override { CHECK(false); }
  bool wants_interrupt() override { return false; }
  void enable_notification(bool) override {}
};

}  // namespace

std::unique_ptr<Queue> Queue::create(memory::GuestMemory& memory, const RingLayout& layout, u64 features,
                                     Broken broken) {
  if ((features & kPackedRing) != 0) {
    if (!PackedQueue::fits(memory, layout)) return nullptr;
    return std::make_unique<PackedQueue>(memory, layout, features, std::move(broken));
  }
  if (!SplitQueue::fits(memory, layout)) return nullptr;
  return std::make_unique<SplitQueue>(memory, layout, features, std::move(broken));
}

std::unique_ptr<Queue> Queue::create_empty() { return std::make_unique<EmptyQueue>(); }

Queue::Queue(memory::GuestMemory* memory, const RingLayout& layout, u64 features, Broken on_broken)
    : memory_(memory),
      layout_(layout),
      indirect_((features & kIndirectDescriptors) != 0),
      event_index_((features & kEventIndex) != 0),
      on_broken_(std::move(on_broken)) {}

bool Queue::broke(std::string_view why) {
  DCHECK(!broken_);
  broken_ = true;
  if (on_broken_) on_broken_(why);
  return false;
}

bool Queue::append(Chain& chain, const Segment& segment, bool writable) {
  if (!writable && chain.writable_ > 0) return broke("a readable descriptor follows a writable one");
  if (segment.length == 0) return true;
  if (chain.segments_.size() == Chain::kMaxSegments) return broke("a buffer has too many segments");
  if (!memory_->contains(segment.address, segment.length)) return broke("a buffer lies outside of memory");
  const u64 total = u64{chain.readable_} + chain.writable_ + segment.length;
  if (total > std::numeric_limits<u32>::max()) return broke("a buffer has 4 GiB or more");
  chain.segments_.push_back(segment);
  (writable ? chain.writable_ : chain.readable_) += segment.length;
  if (!writable) chain.write_at_ = ++chain.first_writable_;
  return true;
}

}  // namespace cloister::device::virtio
