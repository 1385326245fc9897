// SPDX-License-Identifier: Apache-2.0
#include <charconv>
#include <chrono>
#include <string_view>
#include <utility>

#include "device/virtio/vsock/vsock.h"

namespace cloister::device::virtio::vsock {
namespace {

constexpr std::string_view kConnect = "CONNECT ";
constexpr size_t kLongestLine = 32;
// How long no caller is accepted after the host had no descriptor left for one.
constexpr std::chrono::milliseconds kPause{100};
constexpr u32 kFirstHostPort = 1u << 30;

// "CONNECT <port>" with a port of 32 bits.
std::optional<u32> wanted_port(std::string_view line) {
  if (!line.starts_with(kConnect)) return std::nullopt;
  line.remove_prefix(kConnect.size());
  u32 port = 0;
  const auto [end, problem] = std::from_chars(line.data(), line.data() + line.size(), port);
  if (problem != std::errc{} || end != line.data() + line.size() || line.empty()) return std::nullopt;
  return port;
}

}  // namespace

void Vsock::watch_listener() {
  const auto watched = loop_.watch(listener_.fd().get(), os::Ready::kRead, [this](os::Ready) { accept(); });
  CHECK(watched.ok());
}

void Vsock::accept() {
  auto stream = listener_.accept();
  if (!stream.ok() && os::would_block(stream.failure())) return;
  if (!stream.ok()) {
    loop_.forget(listener_.fd().get());
    loop_.after(kPause, [this] { watch_listener(); });
    return;
  }
  MutexLock lock(mutex_);
  if (full() || port_ == nullptr) return;  // closes it
  const u64 serial = next_serial_++;
  const auto watched =
      loop_.watch(stream->fd().get(), os::Ready::kRead, [this, serial](os::Ready) { caller_ready(serial); });
  if (watched.ok()) callers_.emplace(serial, Caller{stream.take(), {}});
}

void Vsock::caller_ready(u64 serial) {
  MutexLock lock(mutex_);
  const auto caller = callers_.find(serial);
  if (caller == callers_.end()) return;
  if (!read_line(caller->second)) {
    loop_.forget(caller->second.stream.fd().get());
    callers_.erase(caller);
    return;
  }
  if (caller->second.line.ends_with('\n')) connect_caller(serial);
  if (deliver()) notify(kReceive);
}

// Byte for byte, as what follows the line belongs to the guest. False when there will be no line.
bool Vsock::read_line(Caller& caller) {
  while (caller.line.size() < kLongestLine) {
    std::byte next{};
    const auto got = caller.stream.read(std::span(&next, 1));
    if (!got.ok()) return os::would_block(got.failure());
    if (*got == 0) return false;
    caller.line.push_back(static_cast<char>(next));
    if (caller.line.back() == '\n') return true;
  }
  return false;
}

// Precondition: the caller has sent its whole line.
void Vsock::connect_caller(u64 serial) {
  auto node = callers_.extract(serial);
  CHECK(!node.empty());
  Caller& caller = node.mapped();
  loop_.forget(caller.stream.fd().get());
  caller.line.pop_back();
  const auto guest_port = wanted_port(caller.line);
  if (!guest_port || port_ == nullptr) return;
  const Ports ports{*guest_port, free_host_port(*guest_port)};
  add(ports, Connection::to_guest(ports, options_.guest_cid, std::move(caller.stream)));
}

// From 2^30 on, above those that programs choose. There are fewer connections than ports.
u32 Vsock::free_host_port(u32 guest_port) {
  while (entries_.contains({guest_port, next_host_port_})) ++next_host_port_;
  const u32 port = next_host_port_++;
  if (next_host_port_ >= 2 * kFirstHostPort) next_host_port_ = kFirstHostPort;
  return port;
}

}  // namespace cloister::device::virtio::vsock
