// SPDX-License-Identifier: Apache-2.0
// Rings of any content in memory, split and packed, used by a device that does everything in its contract.
#include <algorithm>
#include <cstring>
#include <vector>

#include "device/virtio/device.h"
#include "device/virtio/queue.h"

namespace cloister::device::virtio {
namespace {

constexpr GuestPhys kBase{0x8000'0000};
constexpr u64 kSize = 64 * kKiB;

struct Setup {
  u16 size;
  u16 descriptors, driver, device;  // in units of 16, 2 and 4 bytes from kBase
  u8 features;
  u8 fill;  // how much of the rest goes to memory
};

struct Step {
  u8 kind;
  u8 small;
  u16 place;
  u32 value;
};

class Session {
 public:
  Session(memory::GuestMemory& memory, const Setup& setup) : memory_(memory) {
    const u64 features = (setup.features & 1 ? kPackedRing : 0) | (setup.features & 2 ? kEventIndex : 0) |
                         (setup.features & 4 ? kIndirectDescriptors : 0);
    const RingLayout layout{setup.size, kBase + setup.descriptors % 0x1000 * u64{16},
                            kBase + setup.driver * u64{2} % kSize, kBase + setup.device * u64{4} % kSize};
    queue_ = Queue::create(memory, layout, features, [this](std::string_view why) {
      CHECK(!why.empty() && !broken_);
      broken_ = true;
    });
  }

  void take(const Step& step) {
    if (queue_ == nullptr) return;
    switch (step.kind % 8) {
      case 0:
      case 1:
        return pop();
      case 2:
        return push(step.small);
      case 3:
        return use(step);
      case 4:
        return look();
      case 5:
        return (void)queue_->wants_interrupt();
      case 6:
        return queue_->enable_notification((step.small & 1) != 0);
      default:
        CHECK(memory_.write(kBase + step.place % (kSize - 4), std::as_bytes(std::span(&step.value, 1))));
    }
  }

 private:
  void pop() {
    const bool was_empty = queue_->empty();
    auto chain = queue_->pop();
    CHECK(!chain || !was_empty);
    CHECK(queue_->broken() == broken_);
    if (!chain) return;
    check(*chain);
    out_.push_back(std::move(*chain));
    CHECK(out_.size() <= queue_->size());
  }

  void check(const Chain& chain) {
    u64 bytes = 0, segments = 0;
    for (const auto part : {chain.readable_segments(), chain.writable_segments()}) {
      for (const Segment& segment : part) {
        CHECK(segment.length > 0 && memory_.contains(segment.address, segment.length));
        bytes += segment.length;
        ++segments;
      }
    }
    CHECK(bytes == u64{chain.readable()} + chain.writable() && bytes < u64{1} << 32);
    CHECK(segments <= Chain::kMaxSegments);
  }

  void push(u8 which) {
    if (out_.empty()) return;
    const auto at = out_.begin() + which % static_cast<std::ptrdiff_t>(out_.size());
    queue_->push(*at);
    out_.erase(at);
  }

  // A look at the next one, which must be the same the next time.
  void look() {
    const auto first = queue_->pop();
    if (!first) return;
    queue_->undo_pop();
    const auto second = queue_->pop();
    CHECK(second && second->readable() == first->readable() && second->writable() == first->writable());
    queue_->undo_pop();
  }

  void use(const Step& step) {
    if (out_.empty()) return;
    Chain& chain = out_[step.small % out_.size()];
    std::vector<std::byte> bytes(step.place % 5000);
    const u32 readable = chain.readable(), writable = chain.writable();
    CHECK(chain.read(bytes) == (bytes.size() <= readable));
    CHECK(chain.write(bytes) == (bytes.size() <= writable));
    chain.skip_writable(std::min(chain.writable(), step.value));
    chain.skip_readable(std::min(chain.readable(), step.value));
    const u32 few = std::min(chain.writable(), u32{4096});
    CHECK(chain.write_in_place(few, [&](std::span<std::byte> run) { return !run.empty(); }));
    check(chain);
  }

  memory::GuestMemory& memory_;
  std::unique_ptr<Queue> queue_;
  std::vector<Chain> out_;
  bool broken_ = false;
};

}  // namespace
}  // namespace cloister::device::virtio

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  using namespace cloister::device::virtio;
  static const auto memory = cloister::memory::GuestMemory::create(kBase, {kSize}).take();
  Setup setup{};
  if (size < sizeof(setup)) return 0;
  std::memcpy(&setup, data, sizeof(setup));
  std::span<const unsigned char> rest(data + sizeof(setup), size - sizeof(setup));
  const auto image = rest.first(std::min<std::size_t>(rest.size() * setup.fill / 255, kSize));
  CHECK(memory->fill_zero(kBase, {kSize}) && memory->write(kBase, std::as_bytes(image)));
  Session session(*memory, setup);
  Step step{};
  for (rest = rest.subspan(image.size()); rest.size() >= sizeof(step); rest = rest.subspan(sizeof(step))) {
    std::memcpy(&step, rest.data(), sizeof(step));
    session.take(step);
  }
  return 0;
}
