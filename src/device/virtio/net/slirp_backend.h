// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/os/event_loop.h"
#include "base/os/poll_set.h"
#include "base/result.h"
#include "device/virtio/net/backend.h"

struct Slirp;

namespace cloister::device::virtio::net {

// A port of the host's whose connections go to a port of the guest's.
struct HostForward {
  bool udp = false;
  std::string host_address = "127.0.0.1";  // IPv4
  u16 host_port = 0;
  u16 guest_port = 0;
};

struct SlirpOptions {
  u16 mtu = 65520;  // the card's
  std::vector<HostForward> forwards;
};

// A network in user space (libslirp): the guest gets 10.0.2.15 by DHCP, reaches the host's network through
// the gateway 10.0.2.2 (which is the host itself, its loopback included) by sockets of this process, and
// names by 10.0.2.3. IPv6 likewise in fec0::/64. Needs no rights. Others reach the guest through forwards
// only.
//
// The library names the descriptors and the time to wait for anew after each thing that happened; they
// lie in a PollSet of their own, so one event of the loop stands for all that are ready. Without a socket it
// wakes nobody; with any (a forward's listener counts) the library's slow timers ask for two wake-ups a
// second.
//
// Back-pressure: frames that the card refuses are kept, and until it has taken them all no more is read from
// the host's sockets. Bound: 4 MiB; what the library makes beyond (answers to the guest's own frames) is
// dropped, as on a wire.
class SlirpBackend final : public NetBackend {
 public:
  // Forwards start to listen here. Refused: an address that is none or not the host's, a port of 0, one that
  // is taken, one that this user may not have.
  static Result<std::unique_ptr<SlirpBackend>> create(os::EventLoop& loop, const SlirpOptions& options);
  // Once the loop no longer runs, or on its thread.
  ~SlirpBackend() override;

  void connect(Card& card) override { card_ = &card; }
  void send(std::span<const std::byte> frame) override;
  void send_done() override { finish(); }
  void room() override;

 private:
  // Calls from the library.
  struct Callbacks;
  struct Timer {
    void (*call)(void*) = nullptr;
    void* argument = nullptr;
    os::EventLoop::TimerId id = 0;
  };
  using Clock = std::chrono::steady_clock;

  SlirpBackend(os::EventLoop& loop, os::PollSet set) : loop_(loop), set_(std::move(set)) {}
  Result<void> start(const SlirpOptions& options);
  Result<void> forward(const HostForward& forward);
  void deliver(std::span<const std::byte> frame);
  void poll();
  void finish();
  void watch();
  void wake_in(u32 milliseconds);
  void set_timer(Timer& timer, i64 at_milliseconds);
  bool paused() const { return !kept_.empty(); }

  os::EventLoop& loop_;
  os::PollSet set_;
  Slirp* slirp_ = nullptr;
  Card* card_ = nullptr;

  std::vector<int> polled_;  // descriptors, by the index that the library was given
  bool watching_ = false;
  std::optional<os::EventLoop::TimerId> wake_;
  Clock::time_point wake_at_;
  std::list<Timer> timers_;

  std::deque<std::vector<std::byte>> kept_;
  u64 kept_bytes_ = 0;
};

}  // namespace cloister::device::virtio::net
