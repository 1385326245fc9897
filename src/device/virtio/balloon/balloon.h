// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <optional>

#include "base/lock.h"
#include "base/units.h"
#include "device/virtio/device.h"
#include "device/virtio/queue.h"
#include "memory/guest_memory.h"

namespace cloister::device::virtio {

// The traditional memory balloon (virtio 1.2, 5.5): for guests without the balloon application, and to
// compare with it. All its ways: inflate and deflate, the driver's own deflation when it is out of memory,
// statistics, reports of free pages. Free page hints are offered so that the queues have the numbers that the
// specification gives them, whichever way a driver counts; the device never asks for any.
//
// What the driver gives up reads as zeros from then on, and a write gets a frame again at once: so a page
// that comes back needs no word, and a reboot or a driver that lies costs nothing but frames that it may have
// anyway. The driver is told of a new target by a configuration interrupt and works at its own pace.
//
// mutex_ (LockRank::kDevice) guards all of it; giving pages up under it may wait for harts, which have left.
class Balloon final : public Device {
 public:
  // `memory` outlives the device.
  explicit Balloon(memory::GuestMemory& memory) : memory_(memory) {}

  // -- The host's side, any thread

  // How much the driver is asked to give up. Precondition: below 2^32 pages.
  void set_target(Pages target);
  Pages target() const;
  // How much the driver says that it has given up. Its word alone: usage() of the memory is what counts.
  Pages actual() const;

  // What the guest's kernel says of its memory, as of the last answer. Values that it does not send are
  // absent. The order is the specification's (5.5.6.4).
  enum class Statistic : u16 {
    kSwapIn,         // bytes
    kSwapOut,        // bytes
    kMajorFaults,    // that needed a disk
    kMinorFaults,    // that did not
    kFree,           // bytes that nobody uses
    kTotal,          // bytes
    kAvailable,      // bytes that could be had without swapping
    kCaches,         // bytes of the page cache
    kHugeAllocated,  // huge pages got
    kHugeFailed,     // huge pages not got
  };
  static constexpr std::size_t kStatistics = 10;
  struct Statistics {
    std::array<std::optional<u64>, kStatistics> values;
    u64 answers = 0;  // since the driver started
    std::optional<u64> operator[](Statistic one) const { return values[static_cast<std::size_t>(one)]; }
  };
  Statistics statistics() const;
  // Asks for new ones; the driver answers when it gets to it. False when it still owes an answer, or has none
  // to give.
  bool request_statistics();

  struct Counts {  // pages, since the VM was made
    u64 inflated = 0;
    u64 deflated = 0;
    u64 reported = 0;
  };
  Counts counts() const;

  // -- Device

  DeviceId id() const override { return DeviceId::kBalloon; }
  std::string_view name() const override { return "balloon"; }
  u64 features() const override;
  u32 queue_count() const override { return 5; }
  u32 queue_max_size(u32) const override { return 128; }
  void read_config(u32 offset, std::span<std::byte> to) override;
  void write_config(u32 offset, std::span<const std::byte> from) override;
  void activate(Port& port, u64 negotiated) override;
  void notify(u32 queue_index) override;
  void reset() override;

 private:
  enum QueueIndex : u32 { kInflate, kDeflate, kStats, kHint, kReport };

  u64 take_numbers(Chain& chain, bool give_up);
  u64 take_ranges(const Chain& chain);
  void take_statistics() REQUIRES(mutex_);
  void read_statistics(Chain& chain) REQUIRES(mutex_);

  memory::GuestMemory& memory_;
  mutable Mutex mutex_{LockRank::kDevice};
  Port* port_ GUARDED_BY(mutex_) = nullptr;
  u32 target_ GUARDED_BY(mutex_) = 0;
  u32 actual_ GUARDED_BY(mutex_) = 0;
  Statistics statistics_ GUARDED_BY(mutex_);
  std::optional<Chain> asked_with_ GUARDED_BY(mutex_);  // the driver's buffer, until it is asked again
  Counts counts_ GUARDED_BY(mutex_);
};

}  // namespace cloister::device::virtio
