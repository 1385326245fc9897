// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <vector>

#include "base/lock.h"
#include "base/os/event_loop.h"
#include "device/virtio/device.h"
#include "device/virtio/net/backend.h"
#include "device/virtio/queue.h"

namespace cloister::device::virtio::net {

using MacAddress = std::array<u8, 6>;

struct NetOptions {
  MacAddress mac = {0x02, 0x43, 0x4c, 0x53, 0x54, 0x01};  // locally administered; each guest's net is its own
  // Of a frame's payload. TCP of the guest ends at the backend, not on a wire, so a large one saves both
  // sides most of the work for each byte; 65520 is a multiple of 8 below what IPv4 allows.
  u16 mtu = 65520;
};

// virtio-net: one pair of queues, merged receive buffers, checksums left to the card.
//
// The queues are worked on by the event loop's thread: notify() posts there, once for however many
// notifications. Frames from the guest are taken in batches, so that other users of the loop get their turn.
// The backend is called without the lock, as it calls the card back.
//
// Back-pressure: a frame that finds too few buffers is refused, and the backend told when there are more. The
// buffers popped for it are kept for its next try. One that could not fit even if every buffer of the ring
// were spent on it is dropped.
class Net final : public Device, private NetBackend::Card {
 public:
  // Loop and backend outlive the card; the loop no longer runs when the card goes.
  Net(os::EventLoop& loop, NetBackend& backend, const NetOptions& options);

  DeviceId id() const override { return DeviceId::kNetwork; }
  std::string_view name() const override { return "virtio-net"; }
  u64 features() const override;
  u32 queue_count() const override { return 2; }
  u32 queue_max_size(u32) const override { return kQueueSize; }
  void read_config(u32 offset, std::span<std::byte> to) override;
  void activate(Port& port, u64 negotiated) override;
  void notify(u32 queue_index) override;
  void reset() override;

 private:
  static constexpr u32 kQueueSize = 256;
  static constexpr u32 kReceive = 0, kTransmit = 1;
  static constexpr u32 kHeaderSize = 12;
  static constexpr u32 kMinFrame = 14;
  // Frames from the guest before the loop serves others.
  static constexpr int kBatch = 64;

  // NetBackend::Card
  bool receive(std::span<const std::byte> frame) override;
  void receive_done() override;

  enum class Taken : u8 { kFrame, kDropped, kNone };
  void transmit();
  Taken take_frame();
  bool read_frame(Chain& chain) REQUIRES(mutex_);
  void refill();
  enum class Gathered : u8 { kEnough, kTooFew, kNever };
  Gathered gather(u64 bytes) REQUIRES(mutex_);
  bool pop_buffer() REQUIRES(mutex_);
  void deliver(std::span<const std::byte> frame) REQUIRES(mutex_);
  void fail(std::string_view why) REQUIRES(mutex_);
  u32 max_frame() const { return options_.mtu + 18u; }  // Ethernet header with a VLAN tag

  os::EventLoop& loop_;
  NetBackend& backend_;
  const NetOptions options_;

  // Whether a call is posted already.
  std::atomic<bool> transmit_posted_{false};
  std::atomic<bool> refill_posted_{false};

  // The loop's own: the frame on its way from the guest.
  std::vector<std::byte> frame_;

  Mutex mutex_{LockRank::kDevice};
  Port* port_ GUARDED_BY(mutex_) = nullptr;
  u64 negotiated_ GUARDED_BY(mutex_) = 0;
  std::vector<Chain> stock_ GUARDED_BY(mutex_);  // receive buffers popped for the next frame
  u64 stock_bytes_ GUARDED_BY(mutex_) = 0;
  bool refused_ GUARDED_BY(mutex_) = false;         // the backend waits for room()
  bool buffers_watched_ GUARDED_BY(mutex_) = true;  // the guest tells of new receive buffers
};

}  // namespace cloister::device::virtio::net
