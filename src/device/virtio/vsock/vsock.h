// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/lock.h"
#include "base/os/event_loop.h"
#include "base/os/unix_socket.h"
#include "base/result.h"
#include "device/virtio/device.h"
#include "device/virtio/queue.h"
#include "device/virtio/vsock/connection.h"

namespace cloister::device::virtio::vsock {

struct VsockOptions {
  std::string path;  // of the unix socket to listen on, and the front of the others' names
  u64 guest_cid = 3;
  // A listening socket to use instead of PATH: then the guest reaches no unix sockets, only what is served
  // here.
  std::optional<int> listener = {};
};

// virtio-vsock: stream sockets between the guest and unix sockets of the host.
//
//  - A program of the host connects to PATH and writes "CONNECT <port>\n". When the guest's program that
//    listens on that port accepts, it reads "OK <port>\n", and from then on what the guest sends. When nobody
//    listens, or the guest has no driver, its connection is closed.
//  - A program of the guest that connects to port N of the host (CID 2) reaches who serves that port in this
//    process, or else whoever listens on PATH_N.
//
// All work is done on the event loop's thread under one lock, in batches. reset() comes on another thread; it
// puts the connections aside, and the loop closes them.
// Bounds: kMaxConnections, each with Connection::kBufferSize of the guest's data; kMaxResets answers to
// packets that belong to no connection, after which no more packets are taken from the guest until it
// takes those.
class Vsock final : public Device {
 public:
  static constexpr u32 kMaxConnections = 256;

  // Listens on `options.path` at once. Refused: a path that is in use (a leftover is replaced), a CID below 3
  // or above 32 bits. The loop outlives the device and no longer runs when the device goes.
  static Result<std::unique_ptr<Vsock>> create(os::EventLoop& loop, const VsockOptions& options);
  ~Vsock() override;

  DeviceId id() const override { return DeviceId::kVsock; }
  std::string_view name() const override { return "virtio-vsock"; }
  u64 features() const override { return kStreamFeature; }
  u32 queue_count() const override { return 3; }
  u32 queue_max_size(u32) const override { return 256; }
  void read_config(u32 offset, std::span<std::byte> to) override;
  void activate(Port& port, u64 negotiated) override;
  void notify(u32 queue_index) override;
  void reset() override;

  // From now on connections to this port come here instead: `accepted` gets the host's end of each, whose
  // other end behaves as any program of the host. It is called under this device's lock, so it may only pass
  // the end on. Before the loop runs. Precondition: the port is not served yet.
  using Accepted = std::function<void(os::UnixStream)>;
  void serve(u32 port, Accepted accepted);

  // Closes all connections and tells the guest that its transport began anew: after its memory was brought
  // back from elsewhere. Any thread.
  void disconnect_all();

 private:
  static constexpr u64 kStreamFeature = 1;
  static constexpr u32 kReceive = 0, kTransmit = 1, kEvent = 2;
  static constexpr size_t kMaxResets = 128;
  static constexpr int kBatch = 64;  // packets before the loop serves others

  // A program of the host that has not said yet which port it wants.
  struct Caller {
    os::UnixStream stream;
    std::string line;
  };
  struct Entry {
    explicit Entry(Connection made) : connection(std::move(made)) {}
    Connection connection;
    u64 serial = 0;
    os::Ready watched = os::Ready::kNone;
    bool queued = false;
    std::optional<os::EventLoop::TimerId> deadline;
  };
  using Entries = std::map<Ports, Entry>;

  Vsock(os::EventLoop& loop, os::UnixListener listener, const VsockOptions& options);

  // The loop's calls (vsock.cpp).
  void work();
  bool transmit() REQUIRES(mutex_);
  bool deliver() REQUIRES(mutex_);
  void deliver_event() REQUIRES(mutex_);
  bool pop_buffer() REQUIRES(mutex_);
  void deliver_packet() REQUIRES(mutex_);
  std::optional<Header> next_packet(std::span<std::byte> room) REQUIRES(mutex_);
  void put_aside() REQUIRES(mutex_);
  void bury();
  void fail(std::string_view why) REQUIRES(mutex_);

  // Packets from the guest, and the connections' lives (vsock_connections.cpp).
  void take_chain(Chain& chain) REQUIRES(mutex_);
  void take_packet(const Header& header, std::span<const std::byte> payload) REQUIRES(mutex_);
  void take_request(const Header& header) REQUIRES(mutex_);
  os::Attempt<os::UnixStream> reach(u32 port) REQUIRES(mutex_);
  void refuse(const Header& header) REQUIRES(mutex_);
  void add(Ports ports, Connection connection) REQUIRES(mutex_);
  void settle(Entries::iterator entry) REQUIRES(mutex_);
  void rewatch(Entries::iterator entry) REQUIRES(mutex_);
  void set_deadline(Entries::iterator entry) REQUIRES(mutex_);
  void connection_ready(Ports ports, u64 serial, os::Ready events);
  void deadline_passed(Ports ports, u64 serial);

  // Programs of the host that connect (vsock_callers.cpp).
  void watch_listener();
  void accept();
  void caller_ready(u64 serial);
  bool read_line(Caller& caller) REQUIRES(mutex_);
  void connect_caller(u64 serial) REQUIRES(mutex_);
  u32 free_host_port(u32 guest_port) REQUIRES(mutex_);
  bool full() const REQUIRES(mutex_) { return entries_.size() + callers_.size() >= kMaxConnections; }

  os::EventLoop& loop_;
  const VsockOptions options_;
  const os::UnixListener listener_;
  std::atomic<bool> posted_{false};

  Mutex mutex_{LockRank::kDevice};
  Port* port_ GUARDED_BY(mutex_) = nullptr;
  Entries entries_ GUARDED_BY(mutex_);
  std::deque<Ports> runnable_ GUARDED_BY(mutex_);  // may have a packet for the guest; each served in turn
  std::deque<Header> resets_ GUARDED_BY(mutex_);
  std::map<u64, Caller> callers_ GUARDED_BY(mutex_);
  std::map<u32, Accepted> served_ GUARDED_BY(mutex_);  // by port
  std::vector<Entry> aside_ GUARDED_BY(mutex_);        // of an earlier session: to be closed by the loop
  std::optional<Chain> buffer_ GUARDED_BY(mutex_);     // popped for the next packet
  bool event_due_ GUARDED_BY(mutex_) = false;
  u64 next_serial_ GUARDED_BY(mutex_) = 1;
  u32 next_host_port_ GUARDED_BY(mutex_) = 1u << 30;
  std::vector<std::byte> payload_ GUARDED_BY(mutex_);
};

}  // namespace cloister::device::virtio::vsock
