// SPDX-License-Identifier: Apache-2.0
#include "device/virtio/console/console.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "device/virtio/drain.h"

namespace cloister::device::virtio {
namespace {

// Bytes pass through a buffer of this size: a page of the guest's must not stay pinned while a terminal is
// slow.
constexpr std::size_t kMostAtOnce = 1024;

}  // namespace

Console::Console(ConsoleBackend& backend) : backend_(backend) {
  backend_.set_input_ready([this] {
    MutexLock lock(mutex_);
    receive();
  });
}

Console::~Console() { backend_.set_input_ready({}); }

void Console::activate(Port& port, u64) {
  MutexLock lock(mutex_);
  port_ = &port;
}

void Console::reset() {
  MutexLock lock(mutex_);
  port_ = nullptr;
}

Port* Console::port() {
  MutexLock lock(mutex_);
  return port_;
}

void Console::notify(u32 queue_index) {
  if (queue_index == kTransmit) return transmit(*port());
  MutexLock lock(mutex_);
  receive();
}

void Console::transmit(Port& port) {
  drain(port, kTransmit, [&](Chain& chain) {
    std::array<std::byte, kMostAtOnce> piece;
    for (u32 left = std::min(chain.readable(), kMaxOutput); left > 0;) {
      const auto part = std::span(piece).first(std::min<std::size_t>(left, kMostAtOnce));
      if (!chain.read(part)) return;
      backend_.output(part);
      left -= static_cast<u32>(part.size());
    }
  });
}

void Console::receive() {
  if (port_ == nullptr) return;
  Queue& queue = port_->queue(kReceive);
  do {
    queue.enable_notification(true);
  } while (fill_next_buffer(*port_));
  port_->signal_used(kReceive);
}

// Whether there was a buffer and something to put into it.
bool Console::fill_next_buffer(Port& port) {
  Queue& queue = port.queue(kReceive);
  auto chain = queue.pop();
  if (!chain) return false;
  if (chain->writable() == 0) return port.fail("a console buffer has no room"), false;
  std::array<std::byte, kMostAtOnce> piece;
  const std::size_t room = std::min<std::size_t>(chain->writable(), kMostAtOnce);
  const std::size_t count = backend_.take_input(std::span(piece).first(room));
  if (count == 0) return queue.undo_pop(), false;
  const bool written = chain->write(std::span(piece).first(count));
  queue.push(*chain);
  return written;
}

}  // namespace cloister::device::virtio
