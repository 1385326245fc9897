// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "base/os/event_loop.h"
#include "base/os/unix_socket.h"
#include "device/virtio/vsock/packet.h"

namespace cloister::device::virtio::vsock {

// One stream between a socket of the guest and one of the host. Holds no lock and knows no queue: packets
// from the guest and readiness of the host's socket go in, packets for the guest come out when asked for.
//
// Credit, both ways: each side says how large its buffer is and how much of what came it has passed on. What
// is under way and unread on the other side never exceeds the buffer. A guest that sends more is reset.
// Bound: kBufferSize of guest's data wait here for the host's socket. Data for the guest are not kept at all:
// they are read from the host's socket when there is a place for them.
//
// The end: a side that is done sending says so, and the other half goes on. When both halves are done and the
// guest's data have been passed on, the guest is told by a reset and the connection is over.
class Connection {
 public:
  static constexpr u32 kBufferSize = 128 * kKiB;

  // A host's program asks for the guest's port: a kRequest goes out.
  static Connection to_guest(Ports ports, u64 guest_cid, os::UnixStream stream);
  // The guest asked, and the host's program was found: a kResponse goes out.
  static Connection to_host(const Header& request, os::UnixStream stream);

  const os::UnixStream& stream() const { return stream_; }
  // Not answered by the guest yet.
  bool waiting() const { return state_ == State::kWaiting; }
  // The host's side is gone for good, and the guest was told.
  bool lingering() const { return host_done() && (told_shutdown_ & (kNoReceive | kNoSend)) == 3; }
  bool over() const { return state_ == State::kOver; }

  // From the guest.
  void receive(const Header& header, std::span<const std::byte> payload);
  // From the host.
  void ready(os::Ready events);
  // Gives up: the guest gets a reset.
  void abort() { reset_ = true; }

  // What to wait for on the stream; kNone: nothing.
  os::Ready interest() const;

  bool has_packet() const;
  // The next packet for the guest, with at most `room` of payload put there; nothing when there was none
  // after all. After a reset the connection is over.
  std::optional<Header> next_packet(std::span<std::byte> room);

 private:
  enum class State : u8 { kWaiting, kOpen, kOver };

  Connection(Ports ports, u64 guest_cid, os::UnixStream stream)
      : ports_(ports), guest_cid_(guest_cid), stream_(std::move(stream)) {}
  Header header(Operation operation);
  std::optional<Header> next_data(std::span<std::byte> room);
  std::optional<Header> next_control();
  void take_credit(const Header& header);
  void take_response();
  void take_data(std::span<const std::byte> payload);
  void take_shutdown(u32 flags);
  void flush();
  void lose_host();
  void finish_if_done();
  u32 credit() const;
  bool host_done() const { return host_sent_all_ && host_takes_none_; }
  bool may_read() const;
  u32 wanted_shutdown() const { return (host_takes_none_ ? kNoReceive : 0) | (host_sent_all_ ? kNoSend : 0); }

  Ports ports_;
  u64 guest_cid_;
  os::UnixStream stream_;
  State state_ = State::kOpen;

  // Packets that are due.
  bool request_ = false;
  bool response_ = false;
  bool reset_ = false;
  bool update_credit_ = false;
  bool asked_credit_ = false;
  u32 told_shutdown_ = 0;

  // To the guest.
  u32 guest_buffer_ = 0;
  u32 guest_forwarded_ = 0;
  u32 sent_ = 0;
  bool readable_ = false;       // the stream may have something: read it when the guest can take it
  bool host_sent_all_ = false;  // end of the stream
  bool guest_takes_none_ = false;

  // From the guest.
  std::vector<std::byte> buffer_;  // not yet taken by the stream
  u32 forwarded_ = 0;
  u32 told_forwarded_ = 0;
  bool host_takes_none_ = false;
  bool guest_sent_all_ = false;
};

}  // namespace cloister::device::virtio::vsock
