// SPDX-License-Identifier: Apache-2.0
#include "device/virtio/vsock/vsock.h"

#include <algorithm>
#include <utility>

namespace cloister::device::virtio::vsock {
namespace {

constexpr u32 kMaxPayload = 64 * kKiB;
constexpr u32 kHeaderSize = sizeof(Header);

struct Config {
  u64 guest_cid;
};

}  // namespace

Result<std::unique_ptr<Vsock>> Vsock::create(os::EventLoop& loop, const VsockOptions& options) {
  if (options.guest_cid < 3 || options.guest_cid >= UINT32_MAX) {
    return error("the guest's vsock address (CID) {} is not one for guests; give one of 3 to 4294967294",
                 options.guest_cid);
  }
  os::UnixListener listener = options.listener ? os::UnixListener::adopt(os::Fd(*options.listener))
                                               : TRY(os::UnixListener::listen(options.path));
  std::unique_ptr<Vsock> device(new Vsock(loop, std::move(listener), options));
  device->watch_listener();
  return device;
}

Vsock::Vsock(os::EventLoop& loop, os::UnixListener listener, const VsockOptions& options)
    : loop_(loop), options_(options), listener_(std::move(listener)), payload_(kMaxPayload) {}

Vsock::~Vsock() {
  {
    MutexLock lock(mutex_);
    put_aside();
    for (const auto& [serial, caller] : callers_) loop_.forget(caller.stream.fd().get());
  }
  bury();
  loop_.forget(listener_.fd().get());
}

void Vsock::read_config(u32 offset, std::span<std::byte> to) {
  copy_config(Config{options_.guest_cid}, offset, to);
}

void Vsock::activate(Port& port, u64) {
  MutexLock lock(mutex_);
  port_ = &port;
}

void Vsock::serve(u32 port, Accepted accepted) {
  MutexLock lock(mutex_);
  CHECK(served_.emplace(port, std::move(accepted)).second);
}

void Vsock::notify(u32) {
  if (!posted_.exchange(true)) loop_.post([this] { work(); });
}

void Vsock::reset() {
  MutexLock lock(mutex_);
  port_ = nullptr;
  event_due_ = false;
  put_aside();
  loop_.post([this] { bury(); });
}

void Vsock::disconnect_all() {
  {
    MutexLock lock(mutex_);
    put_aside();
    event_due_ = port_ != nullptr;
  }
  loop_.post([this] { bury(); });
  notify(kEvent);
}

// The streams stay open until the loop has forgotten them: a number that is given out anew meanwhile would be
// taken for the old one.
void Vsock::put_aside() {
  for (auto& [ports, entry] : entries_) aside_.push_back(std::move(entry));
  entries_.clear();
  runnable_.clear();
  resets_.clear();
  if (port_ == nullptr) buffer_.reset();
}

void Vsock::bury() {
  std::vector<Entry> gone;
  {
    MutexLock lock(mutex_);
    gone.swap(aside_);
  }
  for (const Entry& entry : gone) {
    loop_.forget(entry.connection.stream().fd().get());
    if (entry.deadline) loop_.cancel(*entry.deadline);
  }
}

void Vsock::fail(std::string_view why) {
  port_->fail(why);
  port_ = nullptr;
  put_aside();
  loop_.post([this] { bury(); });
}

// -- The queues ----------------------------------------------------------------------------------------

void Vsock::work() {
  posted_ = false;
  MutexLock lock(mutex_);
  if (port_ == nullptr) return;
  deliver_event();
  const bool more_to_take = transmit();
  const bool more_to_give = deliver();
  if (port_ != nullptr && (more_to_take || more_to_give)) notify(kTransmit);
}

// Takes packets from the guest. True when there may be more that can be taken now.
bool Vsock::transmit() {
  if (port_ == nullptr) return false;
  Queue& queue = port_->queue(kTransmit);
  queue.enable_notification(false);
  int left = kBatch;
  for (; left > 0 && resets_.size() < kMaxResets; --left) {
    auto chain = queue.pop();
    if (!chain) {
      queue.enable_notification(true);
      chain = queue.pop();
      if (!chain) break;
      queue.enable_notification(false);
    }
    take_chain(*chain);
    if (port_ == nullptr) return false;
    queue.push(*chain);
  }
  port_->signal_used(kTransmit);
  return left == 0;
}

// Gives packets to the guest. True when there may be more that can be given, or taken, now.
bool Vsock::deliver() {
  if (port_ == nullptr) return false;
  const bool held_up = resets_.size() >= kMaxResets;
  int left = kBatch;
  while (left > 0 && (!resets_.empty() || !runnable_.empty()) && pop_buffer()) {
    deliver_packet();
    if (port_ == nullptr) return false;
    --left;
  }
  if (port_ == nullptr) return false;
  port_->signal_used(kReceive);
  return left == 0 || (held_up && resets_.size() < kMaxResets);
}

// Sees that there is a buffer for a packet. False when the guest has none: then it is asked to tell.
bool Vsock::pop_buffer() {
  if (buffer_) return true;
  Queue& queue = port_->queue(kReceive);
  queue.enable_notification(false);
  buffer_ = queue.pop();
  if (!buffer_) {
    queue.enable_notification(true);
    buffer_ = queue.pop();
  }
  if (buffer_ && buffer_->writable() <= kHeaderSize) {
    fail("a buffer for packets is too small for one");
    return false;
  }
  return buffer_.has_value();
}

// Precondition: buffer_. It is kept when there is no packet after all.
void Vsock::deliver_packet() {
  const u32 room = std::min(buffer_->writable() - kHeaderSize, kMaxPayload);
  const auto packet = next_packet(std::span(payload_).first(room));
  if (!packet) return;
  const bool written = buffer_->write(std::as_bytes(std::span(&*packet, 1))) &&
                       buffer_->write(std::span(payload_).first(packet->length));
  if (!written) return fail("a buffer for packets cannot be written");
  port_->queue(kReceive).push(*buffer_);
  buffer_.reset();
}

// Of the connection whose turn it is; it goes to the end of the line.
std::optional<Header> Vsock::next_packet(std::span<std::byte> room) {
  if (!resets_.empty()) {
    const Header packet = resets_.front();
    resets_.pop_front();
    return packet;
  }
  const Ports ports = runnable_.front();
  runnable_.pop_front();
  const auto entry = entries_.find(ports);
  if (entry == entries_.end()) return std::nullopt;
  entry->second.queued = false;
  const auto packet = entry->second.connection.next_packet(room);
  settle(entry);
  return packet;
}

void Vsock::deliver_event() {
  if (!event_due_) return;
  auto chain = port_->queue(kEvent).pop();
  if (!chain) return;
  const u32 transport_reset = 0;
  if (!chain->write(std::as_bytes(std::span(&transport_reset, 1)))) {
    return fail("a buffer for events is too small");
  }
  event_due_ = false;
  port_->queue(kEvent).push(*chain);
  port_->signal_used(kEvent);
}

}  // namespace cloister::device::virtio::vsock
