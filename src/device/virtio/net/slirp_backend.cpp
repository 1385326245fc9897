// SPDX-License-Identifier: Apache-2.0
#include "device/virtio/net/slirp_backend.h"

#include <slirp/libslirp.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/os/os_error.h"
#include "base/os/signals.h"

namespace cloister::device::virtio::net {
namespace {

constexpr u64 kMaxKept = 4 * kMiB;
// What the library says when it waits for no time to pass; it never needs longer waits.
constexpr u32 kNoDeadline = 1000;
constexpr u32 kForever = UINT32_MAX;

in_addr address(const char* text) {
  in_addr result{};
  CHECK(::inet_pton(AF_INET, text, &result) == 1);
  return result;
}

in6_addr address6(const char* text) {
  in6_addr result{};
  CHECK(::inet_pton(AF_INET6, text, &result) == 1);
  return result;
}

SlirpConfig config(const SlirpOptions& options) {
  SlirpConfig config{};
  config.version = 1;
  config.in_enabled = true;
  config.vnetwork = address("10.0.2.0");
  config.vnetmask = address("255.255.255.0");
  config.vhost = address("10.0.2.2");
  config.vdhcp_start = address("10.0.2.15");
  config.vnameserver = address("10.0.2.3");
  config.in6_enabled = true;
  config.vprefix_addr6 = address6("fec0::");
  config.vprefix_len = 64;
  config.vhost6 = address6("fec0::2");
  config.vnameserver6 = address6("fec0::3");
  config.vhostname = "cloister";
  config.if_mtu = options.mtu;
  config.if_mru = options.mtu;
  return config;
}

struct Pair {
  int theirs;
  u32 ours;
};
constexpr Pair kEvents[] = {{SLIRP_POLL_IN, os::PollSet::kIn},
                            {SLIRP_POLL_OUT, os::PollSet::kOut},
                            {SLIRP_POLL_PRI, os::PollSet::kUrgent},
                            {SLIRP_POLL_ERR, os::PollSet::kError},
                            {SLIRP_POLL_HUP, os::PollSet::kHangup}};

u32 to_ours(int events) {
  u32 result = 0;
  for (const Pair& pair : kEvents) result |= (events & pair.theirs) != 0 ? pair.ours : 0;
  return result;
}

int to_theirs(u32 events) {
  int result = 0;
  for (const Pair& pair : kEvents) result |= (events & pair.ours) != 0 ? pair.theirs : 0;
  return result;
}

}  // namespace

struct SlirpBackend::Callbacks {
  static SlirpBackend& of(void* opaque) { return *static_cast<SlirpBackend*>(opaque); }

  static ssize_t send_packet(const void* bytes, size_t size, void* opaque) {
    of(opaque).deliver({static_cast<const std::byte*>(bytes), size});
    return static_cast<ssize_t>(size);
  }
  // What a guest does wrong goes nowhere: it must not be able to fill a log.
  static void guest_error(const char*, void*) {}
  static i64 clock_get_ns(void*) { return std::chrono::nanoseconds(Clock::now().time_since_epoch()).count(); }

  static void* timer_new(SlirpTimerCb call, void* argument, void* opaque) {
    return &of(opaque).timers_.emplace_back(Timer{call, argument});
  }
  static void timer_free(void* timer, void* opaque) {
    SlirpBackend& self = of(opaque);
    self.loop_.cancel(static_cast<Timer*>(timer)->id);
    self.timers_.remove_if([&](const Timer& each) { return &each == timer; });
  }
  static void timer_mod(void* timer, i64 at, void* opaque) {
    of(opaque).set_timer(*static_cast<Timer*>(timer), at);
  }

  static void register_poll_fd(int fd, void* opaque) { of(opaque).set_.forget(fd); }
  static void unregister_poll_fd(int fd, void* opaque) { of(opaque).set_.forget(fd); }
  // All descriptors are looked at again after whatever called the library.
  static void notify(void*) {}

  static int add_poll(int fd, int events, void* opaque) {
    SlirpBackend& self = of(opaque);
    self.set_.want(fd, to_ours(events));
    self.polled_.push_back(fd);
    return static_cast<int>(self.polled_.size()) - 1;
  }
  static int get_events(int index, void* opaque) {
    const SlirpBackend& self = of(opaque);
    CHECK(index >= 0 && static_cast<size_t>(index) < self.polled_.size());
    return to_theirs(self.set_.events(self.polled_[static_cast<size_t>(index)]));
  }

  static constexpr SlirpCb table() {
    SlirpCb table{};
    table.send_packet = send_packet;
    table.guest_error = guest_error;
    table.clock_get_ns = clock_get_ns;
    table.timer_new = timer_new;
    table.timer_free = timer_free;
    table.timer_mod = timer_mod;
    table.register_poll_fd = register_poll_fd;
    table.unregister_poll_fd = unregister_poll_fd;
    table.notify = notify;
    return table;
  }
};

Result<std::unique_ptr<SlirpBackend>> SlirpBackend::create(os::EventLoop& loop, const SlirpOptions& options) {
  os::ignore_broken_pipes();  // the library writes to sockets that their other side may have closed
  std::unique_ptr<SlirpBackend> backend(new SlirpBackend(loop, TRY(os::PollSet::create())));
  TRY(backend->start(options));
  return backend;
}

Result<void> SlirpBackend::start(const SlirpOptions& options) {
  static constexpr SlirpCb kCallbacks = Callbacks::table();
  const SlirpConfig wanted = config(options);
  slirp_ = slirp_new(&wanted, &kCallbacks, this);
  if (slirp_ == nullptr) {
    return error("libslirp {} refuses to make a network; install version 4.7 or newer",
                 slirp_version_string());
  }
  for (const HostForward& each : options.forwards) TRY(forward(each));
  watch();
  return {};
}

Result<void> SlirpBackend::forward(const HostForward& forward) {
  const std::string what =
      fmt::format("{}:{}/{}", forward.host_address, forward.host_port, forward.udp ? "udp" : "tcp");
  in_addr host{};
  if (::inet_pton(AF_INET, forward.host_address.c_str(), &host) != 1) {
    return error("cannot forward {}: '{}' is no IPv4 address; give one such as 127.0.0.1", what,
                 forward.host_address);
  }
  if (forward.host_port == 0 || forward.guest_port == 0) {
    return error("cannot forward {} to the guest's port {}: ports are 1 to 65535", what, forward.guest_port);
  }
  errno = 0;
  if (slirp_add_hostfwd(slirp_, forward.udp ? 1 : 0, host, forward.host_port, address("10.0.2.15"),
                        forward.guest_port) == 0) {
    return {};
  }
  switch (errno) {
    case EADDRINUSE:
      return error("cannot forward {}: the port is taken; stop the program that uses it or choose another",
                   what);
    case EACCES:
      return error("cannot forward {}: this user may not use the port; choose one from 1024 on", what);
    case EADDRNOTAVAIL:
      return error("cannot forward {}: the host has no such address; give one of its own or 0.0.0.0", what);
    default:
      return os::os_error(fmt::format("cannot forward {}", what));
  }
}

SlirpBackend::~SlirpBackend() {
  if (watching_) loop_.forget(set_.fd().get());
  if (wake_) loop_.cancel(*wake_);
  card_ = nullptr;
  if (slirp_ != nullptr) slirp_cleanup(slirp_);
}

void SlirpBackend::send(std::span<const std::byte> frame) {
  slirp_input(slirp_, reinterpret_cast<const u8*>(frame.data()), static_cast<int>(frame.size()));
}

// A frame for the guest, from within the library.
void SlirpBackend::deliver(std::span<const std::byte> frame) {
  if (card_ == nullptr) return;
  if (!paused() && card_->receive(frame)) return;
  if (kept_bytes_ + frame.size() > kMaxKept) return;
  kept_.emplace_back(frame.begin(), frame.end());
  kept_bytes_ += frame.size();
}

void SlirpBackend::room() {
  while (paused() && card_->receive(kept_.front())) {
    kept_bytes_ -= kept_.front().size();
    kept_.pop_front();
  }
  finish();
}

// Descriptors are ready, or the time is up.
void SlirpBackend::poll() {
  if (paused()) return;
  set_.look();
  slirp_pollfds_poll(slirp_, 0, Callbacks::get_events, this);
  finish();
}

// After each use of the library.
void SlirpBackend::finish() {
  if (card_ != nullptr) card_->receive_done();
  watch();
}

void SlirpBackend::watch() {
  if (paused()) {
    if (std::exchange(watching_, false)) loop_.forget(set_.fd().get());
    return;
  }
  u32 wait = kForever;
  polled_.clear();
  set_.begin();
  slirp_pollfds_fill(slirp_, &wait, Callbacks::add_poll, this);
  set_.commit();
  if (wait < kNoDeadline) wake_in(wait);
  if (watching_) return;
  watching_ = loop_.watch(set_.fd().get(), os::Ready::kRead, [this](os::Ready) { poll(); }).ok();
  CHECK(watching_);
}

// A wake-up that comes early does no harm: the library then asks for another.
void SlirpBackend::wake_in(u32 milliseconds) {
  const auto delay = std::chrono::milliseconds(std::max<u32>(milliseconds, 1));
  const auto at = Clock::now() + delay;
  if (wake_ && wake_at_ <= at) return;
  if (wake_) loop_.cancel(*wake_);
  wake_at_ = at;
  wake_ = loop_.after(delay, [this] {
    wake_.reset();
    poll();
  });
}

void SlirpBackend::set_timer(Timer& timer, i64 at_milliseconds) {
  loop_.cancel(timer.id);
  const i64 now = Callbacks::clock_get_ns(this) / 1'000'000;
  timer.id = loop_.after(std::chrono::milliseconds(std::max<i64>(at_milliseconds - now, 0)), [this, &timer] {
    timer.call(timer.argument);
    finish();
  });
}

}  // namespace cloister::device::virtio::net
