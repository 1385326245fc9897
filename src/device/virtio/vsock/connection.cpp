// SPDX-License-Identifier: Apache-2.0
#include "device/virtio/vsock/connection.h"

#include <algorithm>
#include <utility>

namespace cloister::device::virtio::vsock {

Connection Connection::to_guest(Ports ports, u64 guest_cid, os::UnixStream stream) {
  Connection connection(ports, guest_cid, std::move(stream));
  connection.state_ = State::kWaiting;
  connection.request_ = true;
  return connection;
}

Connection Connection::to_host(const Header& request, os::UnixStream stream) {
  const Ports ports{request.source_port, request.destination_port};
  Connection connection(ports, request.source_cid, std::move(stream));
  connection.take_credit(request);
  connection.response_ = true;
  return connection;
}

// -- From the guest ------------------------------------------------------------------------------------

void Connection::receive(const Header& header, std::span<const std::byte> payload) {
  take_credit(header);
  const auto operation = static_cast<Operation>(header.operation);
  if (operation == Operation::kReset) {
    state_ = State::kOver;
    return;
  }
  if (waiting() != (operation == Operation::kResponse)) return abort();
  switch (operation) {
    case Operation::kResponse:
      return take_response();
    case Operation::kData:
      return take_data(payload);
    case Operation::kShutdown:
      return take_shutdown(header.flags);
    case Operation::kCreditUpdate:
      return;
    case Operation::kCreditRequest:
      update_credit_ = true;
      return;
    default:
      return abort();
  }
}

void Connection::take_credit(const Header& header) {
  guest_buffer_ = header.buffer_size;
  guest_forwarded_ = header.forwarded;
  asked_credit_ = false;
}

// How much the guest can take. One that says it took more than it was sent, or shrinks its buffer, gets
// nothing until its figures make sense.
u32 Connection::credit() const {
  const u32 under_way = sent_ - guest_forwarded_;
  return under_way < guest_buffer_ ? guest_buffer_ - under_way : 0;
}

void Connection::take_response() {
  state_ = State::kOpen;
  const std::string line = fmt::format("OK {}\n", ports_.host);
  const auto written = stream_.write(std::as_bytes(std::span(line)));
  if (!written.ok() || *written != line.size()) abort();
}

void Connection::take_data(std::span<const std::byte> payload) {
  if (guest_sent_all_ || payload.size() > kBufferSize - buffer_.size()) return abort();
  buffer_.insert(buffer_.end(), payload.begin(), payload.end());
  flush();
}

void Connection::take_shutdown(u32 flags) {
  if ((flags & kNoReceive) != 0 && !std::exchange(guest_takes_none_, true)) {
    stream_.shut(os::UnixStream::Half::kRead);
  }
  if ((flags & kNoSend) != 0) guest_sent_all_ = true;
  flush();
}

// Passes on what the stream takes; what a closed one does not take is lost, as on any socket.
void Connection::flush() {
  size_t done = host_takes_none_ ? buffer_.size() : 0;
  while (done < buffer_.size()) {
    const auto written = stream_.write(std::span<const std::byte>(buffer_).subspan(done));
    if (!written.ok() && os::would_block(written.failure())) break;
    if (!written.ok()) lose_host();
    done = written.ok() ? done + *written : buffer_.size();
  }
  buffer_.erase(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(done));
  forwarded_ += static_cast<u32>(done);
  if (forwarded_ - told_forwarded_ >= kBufferSize / 2) update_credit_ = true;
  finish_if_done();
}

// Nobody reads on the host's side any more. When the guest does not read either, nothing more can come of it.
void Connection::lose_host() {
  host_takes_none_ = true;
  if (guest_takes_none_) host_sent_all_ = true;
}

void Connection::finish_if_done() {
  if (!guest_sent_all_ || !buffer_.empty()) return;
  stream_.shut(os::UnixStream::Half::kWrite);
  if (guest_takes_none_) reset_ = true;
}

// -- From the host -------------------------------------------------------------------------------------

// A hang-up means that the other side is closed altogether; what it sent before can still be read.
void Connection::ready(os::Ready events) {
  if (over()) return;
  if (has(events, os::Ready::kHangup)) lose_host();
  if (has(events, os::Ready::kRead) || has(events, os::Ready::kHangup)) readable_ = true;
  if (!buffer_.empty()) flush();
}

// While readable_ is set, the stream is read without being waited for.
os::Ready Connection::interest() const {
  os::Ready interest = os::Ready::kNone;
  if (state_ != State::kOpen || reset_) return interest;
  if (!readable_ && !host_sent_all_ && !guest_takes_none_) interest = interest | os::Ready::kRead;
  if (!buffer_.empty() && !host_takes_none_) interest = interest | os::Ready::kWrite;
  return interest;
}

// -- To the guest --------------------------------------------------------------------------------------

bool Connection::may_read() const { return readable_ && !host_sent_all_ && !guest_takes_none_; }

bool Connection::has_packet() const {
  if (over()) return false;
  if (reset_ || request_ || response_) return true;
  if (waiting()) return false;
  const bool data = may_read() && (credit() > 0 || !asked_credit_);
  return data || update_credit_ || (wanted_shutdown() & ~told_shutdown_) != 0;
}

std::optional<Header> Connection::next_packet(std::span<std::byte> room) {
  if (!has_packet()) return std::nullopt;
  if (auto control = next_control()) return control;
  if (may_read()) {
    if (auto data = next_data(room)) return data;
  }
  if (reset_) return next_control();
  if (!waiting() && (wanted_shutdown() & ~told_shutdown_) != 0) {
    told_shutdown_ = wanted_shutdown();
    Header packet = header(Operation::kShutdown);
    packet.flags = told_shutdown_;
    return packet;
  }
  return std::nullopt;
}

std::optional<Header> Connection::next_control() {
  if (reset_) {
    state_ = State::kOver;
    return header(Operation::kReset);
  }
  if (std::exchange(request_, false)) return header(Operation::kRequest);
  if (std::exchange(response_, false)) return header(Operation::kResponse);
  if (std::exchange(update_credit_, false)) return header(Operation::kCreditUpdate);
  return std::nullopt;
}

// Reads on behalf of the guest. Nothing when the stream has nothing, or has come to its end.
std::optional<Header> Connection::next_data(std::span<std::byte> room) {
  const u32 most = std::min(credit(), static_cast<u32>(room.size()));
  if (most == 0) {
    if (credit() > 0 || std::exchange(asked_credit_, true)) return std::nullopt;
    return header(Operation::kCreditRequest);
  }
  const auto got = stream_.read(room.first(most));
  if (got.ok() && *got > 0) {
    Header packet = header(Operation::kData);
    packet.length = static_cast<u32>(*got);
    sent_ += packet.length;
    return packet;
  }
  readable_ = false;
  if (got.ok()) {
    host_sent_all_ = true;
  } else if (!os::would_block(got.failure())) {
    abort();
  }
  return std::nullopt;
}

Header Connection::header(Operation operation) {
  told_forwarded_ = forwarded_;
  Header packet;
  packet.source_cid = kHostCid;
  packet.destination_cid = guest_cid_;
  packet.source_port = ports_.host;
  packet.destination_port = ports_.guest;
  packet.operation = static_cast<u16>(operation);
  packet.buffer_size = kBufferSize;
  packet.forwarded = forwarded_;
  return packet;
}

}  // namespace cloister::device::virtio::vsock
