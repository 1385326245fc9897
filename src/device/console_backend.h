// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <span>

#include "base/lock.h"
#include "base/units.h"
#include "device/console_sink.h"

namespace cloister::device {

// The host's side of a console device: where the guest's bytes go, and where a person's come from.
// One device at a time stands in front of it.
class ConsoleBackend {
 public:
  virtual ~ConsoleBackend() = default;
  // What the guest printed. Any thread, and under the device's own lock.
  virtual void output(std::span<const std::byte> bytes) = 0;
  // Takes up to to.size() bytes that wait for the guest; how many. Any thread, and under the device's own
  // lock.
  virtual std::size_t take_input(std::span<std::byte> to) = 0;
  // `ready` is called, on any thread and under no lock, after input came. It may come once too often, so look
  // with take_input(). An empty function: nobody listens any more; on return no call is under way.
  // Not from within `ready`.
  virtual void set_input_ready(std::function<void()> ready) = 0;
};

// Input waits in a bounded queue until the guest takes it; output goes to a sink.
class QueuedConsole final : public ConsoleBackend {
 public:
  // Bound: a screenful of pasted text fits; a person who types into a stuck guest costs no more.
  static constexpr std::size_t kInputLimit = 64 * kKiB;

  // The sink outlives the console.
  explicit QueuedConsole(ConsoleSink& sink) : sink_(sink) {}

  // Bytes for the guest. Returns how many found room. Any thread; not under a device's lock.
  std::size_t offer(std::span<const std::byte> bytes);

  void output(std::span<const std::byte> bytes) override { sink_.write(bytes); }
  std::size_t take_input(std::span<std::byte> to) override;
  void set_input_ready(std::function<void()> ready) override;

 private:
  std::size_t append(std::span<const std::byte> bytes);

  ConsoleSink& sink_;
  Mutex listener_mutex_{LockRank::kTransport};  // held while `ready_` runs, which takes its device's lock
  std::function<void()> ready_ GUARDED_BY(listener_mutex_);
  Mutex input_mutex_{LockRank::kSignal};
  std::deque<std::byte> input_ GUARDED_BY(input_mutex_);
};

}  // namespace cloister::device
