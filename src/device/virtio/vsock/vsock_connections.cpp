// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <utility>

#include "device/virtio/vsock/vsock.h"

namespace cloister::device::virtio::vsock {
namespace {

// How long the guest may take to answer a request, and to let go of a connection that the host has closed.
constexpr std::chrono::seconds kPatience{10};

}  // namespace

void Vsock::take_chain(Chain& chain) {
  Header header;
  if (!chain.read(std::as_writable_bytes(std::span(&header, 1)))) {
    return fail("a packet to send has no header");
  }
  if (header.source_cid != options_.guest_cid) return;  // not from this guest: nobody to answer to
  const bool whole = header.length <= chain.readable() && header.length <= Connection::kBufferSize;
  if (header.type != kStreamType || header.destination_cid != kHostCid || !whole) return refuse(header);
  if (payload_.size() < header.length) payload_.resize(header.length);
  const auto payload = std::span(payload_).first(header.length);
  if (!chain.read(payload)) return refuse(header);
  take_packet(header, payload);
}

void Vsock::take_packet(const Header& header, std::span<const std::byte> payload) {
  const auto entry = entries_.find({header.source_port, header.destination_port});
  const bool request = header.operation == static_cast<u16>(Operation::kRequest);
  if (entry == entries_.end()) return request ? take_request(header) : refuse(header);
  entry->second.connection.receive(header, payload);
  settle(entry);
}

void Vsock::take_request(const Header& header) {
  if (full()) return refuse(header);
  auto stream = reach(header.destination_port);
  if (!stream.ok()) return refuse(header);
  add({header.source_port, header.destination_port}, Connection::to_host(header, stream.take()));
}

// Who serves the port: here, or behind a socket of the host.
os::Attempt<os::UnixStream> Vsock::reach(u32 port) {
  const auto served = served_.find(port);
  if (served == served_.end()) {
    if (options_.listener) return os::Errno{ECONNREFUSED};
    return os::UnixStream::connect(fmt::format("{}_{}", options_.path, port));
  }
  auto ends = os::UnixStream::pair(os::SocketKind::kStream);
  if (!ends.ok()) return ends.failure();
  auto [ours, theirs] = ends.take();
  served->second(std::move(theirs));
  return std::move(ours);
}

// Nonsense, or a packet for no connection: the connection, if there is one, is reset.
void Vsock::refuse(const Header& header) {
  if (header.operation == static_cast<u16>(Operation::kReset)) return;
  const auto entry = entries_.find({header.source_port, header.destination_port});
  if (entry != entries_.end()) {
    entry->second.connection.abort();
    return settle(entry);
  }
  Header reset;
  reset.source_cid = header.destination_cid;
  reset.destination_cid = header.source_cid;
  reset.source_port = header.destination_port;
  reset.destination_port = header.source_port;
  reset.type = header.type;
  reset.operation = static_cast<u16>(Operation::kReset);
  resets_.push_back(reset);
}

// Precondition: no connection of that name.
void Vsock::add(Ports ports, Connection connection) {
  const auto [entry, added] = entries_.emplace(ports, Entry(std::move(connection)));
  CHECK(added);
  entry->second.serial = next_serial_++;
  settle(entry);
}

// After whatever happened to a connection: it is removed, or waits for what it waits for now.
void Vsock::settle(Entries::iterator entry) {
  auto& [ports, state] = *entry;
  if (state.connection.over()) {
    loop_.forget(state.connection.stream().fd().get());
    if (state.deadline) loop_.cancel(*state.deadline);
    entries_.erase(entry);
    return;
  }
  rewatch(entry);
  set_deadline(entry);
  if (!state.queued && state.connection.has_packet()) {
    state.queued = true;
    runnable_.push_back(ports);
  }
}

void Vsock::rewatch(Entries::iterator entry) {
  auto& [ports, state] = *entry;
  const os::Ready interest = state.connection.interest();
  if (interest == std::exchange(state.watched, interest)) return;
  const int fd = state.connection.stream().fd().get();
  if (interest == os::Ready::kNone) return loop_.forget(fd);
  const auto call = [this, name = ports, serial = state.serial](os::Ready events) {
    connection_ready(name, serial, events);
  };
  if (!loop_.watch(fd, interest, call).ok()) state.connection.abort();
}

void Vsock::set_deadline(Entries::iterator entry) {
  auto& [ports, state] = *entry;
  const bool wanted = state.connection.waiting() || state.connection.lingering();
  if (wanted == state.deadline.has_value()) return;
  if (!wanted) return loop_.cancel(*std::exchange(state.deadline, std::nullopt));
  state.deadline =
      loop_.after(kPatience, [this, name = ports, serial = state.serial] { deadline_passed(name, serial); });
}

// A connection of the same name may be another by now: the serial number tells.
void Vsock::connection_ready(Ports ports, u64 serial, os::Ready events) {
  MutexLock lock(mutex_);
  const auto entry = entries_.find(ports);
  if (entry == entries_.end() || entry->second.serial != serial) return;
  entry->second.connection.ready(events);
  settle(entry);
  if (deliver()) notify(kReceive);
}

void Vsock::deadline_passed(Ports ports, u64 serial) {
  MutexLock lock(mutex_);
  const auto entry = entries_.find(ports);
  if (entry == entries_.end() || entry->second.serial != serial) return;
  entry->second.deadline.reset();
  entry->second.connection.abort();
  settle(entry);
  if (deliver()) notify(kReceive);
}

}  // namespace cloister::device::virtio::vsock
