// SPDX-License-Identifier: Apache-2.0
#include "device/virtio/balloon/balloon.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "base/check.h"
#include "device/virtio/drain.h"

namespace cloister::device::virtio {
namespace {

// virtio 1.2, 5.5.3.
constexpr u64 kStatsQueue = u64{1} << 1;
constexpr u64 kDeflateOnOom = u64{1} << 2;
constexpr u64 kFreePageHint = u64{1} << 3;
constexpr u64 kPageReporting = u64{1} << 5;

// 5.5.4. Little-endian, as the host is.
struct Config {
  u32 num_pages;
  u32 actual;
  u32 free_page_hint_command;  // 0: no hints are wanted
  u32 poison_value;
};

// 5.5.6.3: packed, without padding.
constexpr std::size_t kStatisticSize = 10;

// Bound: pages given up in one go, and what is read of a buffer at a time.
constexpr std::size_t kPiece = 512;
// Bound: statistics read of one buffer; today's Linux sends 16.
constexpr u32 kMostStatistics = 64;

}  // namespace

u64 Balloon::features() const { return kStatsQueue | kDeflateOnOom | kFreePageHint | kPageReporting; }

void Balloon::set_target(Pages target) {
  CHECK(target.raw <= UINT32_MAX);
  const MutexLock lock(mutex_);
  if (target_ == target.raw) return;
  target_ = static_cast<u32>(target.raw);
  if (port_ != nullptr) port_->signal_config_changed();
}

Pages Balloon::target() const {
  const MutexLock lock(mutex_);
  return {target_};
}

Pages Balloon::actual() const {
  const MutexLock lock(mutex_);
  return {actual_};
}

Balloon::Statistics Balloon::statistics() const {
  const MutexLock lock(mutex_);
  return statistics_;
}

Balloon::Counts Balloon::counts() const {
  const MutexLock lock(mutex_);
  return counts_;
}

// To hand the buffer back is to ask.
bool Balloon::request_statistics() {
  const MutexLock lock(mutex_);
  if (port_ == nullptr || !asked_with_) return false;
  port_->queue(kStats).push(*asked_with_);
  asked_with_.reset();
  port_->signal_used(kStats);
  return true;
}

void Balloon::read_config(u32 offset, std::span<std::byte> to) {
  const MutexLock lock(mutex_);
  copy_config(Config{target_, actual_, 0, 0}, offset, to);
}

void Balloon::write_config(u32 offset, std::span<const std::byte> from) {
  const MutexLock lock(mutex_);
  if (offset != offsetof(Config, actual) || from.size() != sizeof(actual_)) return;
  std::memcpy(&actual_, from.data(), sizeof(actual_));
}

void Balloon::activate(Port& port, u64) {
  const MutexLock lock(mutex_);
  port_ = &port;
}

void Balloon::reset() {
  const MutexLock lock(mutex_);
  port_ = nullptr;
  actual_ = 0;
  statistics_ = {};
  asked_with_.reset();
}

void Balloon::notify(u32 queue_index) {
  const MutexLock lock(mutex_);
  if (queue_index == kStats) return take_statistics();
  u64 taken = 0;
  drain(*port_, queue_index, [&](Chain& chain) {
    taken += queue_index == kReport ? take_ranges(chain) : take_numbers(chain, queue_index == kInflate);
  });
  if (queue_index == kInflate) counts_.inflated += taken;
  if (queue_index == kDeflate) counts_.deflated += taken;
  if (queue_index == kReport) counts_.reported += taken;
}

// Page numbers of 4 KiB pages, 32 bits each. Those that are no memory change nothing.
u64 Balloon::take_numbers(Chain& chain, bool give_up) {
  std::array<u32, kPiece> numbers;
  u64 taken = 0;
  for (u32 left = chain.readable() / sizeof(u32); left > 0;) {
    const auto some = std::span(numbers).first(std::min<std::size_t>(left, kPiece));
    if (!chain.read(std::as_writable_bytes(some))) break;
    std::vector<Gpn> pages;
    for (const u32 number : some) pages.push_back({number});
    if (give_up) memory_.discard(pages);
    taken += some.size();
    left -= static_cast<u32>(some.size());
  }
  return taken;
}

// The buffer's own segments are the free pages. Only whole pages are given up.
u64 Balloon::take_ranges(const Chain& chain) {
  u64 taken = 0;
  std::vector<Gpn> pages;
  const auto give_up = [&] {
    taken += memory_.discard(pages).raw;
    pages.clear();
  };
  for (const Segment& segment : chain.writable_segments()) {
    const u64 end = (segment.address + segment.length).page();
    for (u64 page = (segment.address + kPageMask).page(); page < end; ++page) {
      pages.push_back({page});
      if (pages.size() == kPiece) give_up();
    }
  }
  give_up();
  return taken;
}

// The driver's buffer stays here until the next question. A driver has one; of more, the last is kept.
void Balloon::take_statistics() {
  Queue& queue = port_->queue(kStats);
  bool returned = false;
  for (u32 left = queue.size() * kMaxRounds; left > 0; --left) {
    auto chain = queue.pop();
    if (!chain) break;
    read_statistics(*chain);
    if (asked_with_) queue.push(*asked_with_);
    returned = returned || asked_with_.has_value();
    asked_with_ = std::move(*chain);
  }
  queue.enable_notification(true);
  if (returned) port_->signal_used(kStats);
}

void Balloon::read_statistics(Chain& chain) {
  ++statistics_.answers;
  const u32 count = std::min(chain.readable() / static_cast<u32>(kStatisticSize), kMostStatistics);
  for (u32 i = 0; i < count; ++i) {
    std::array<std::byte, kStatisticSize> entry;
    if (!chain.read(entry)) return;
    u16 tag = 0;
    u64 value = 0;
    std::memcpy(&tag, entry.data(), sizeof(tag));
    std::memcpy(&value, entry.data() + sizeof(tag), sizeof(value));
    if (tag < kStatistics) statistics_.values[tag] = value;
  }
}

}  // namespace cloister::device::virtio
