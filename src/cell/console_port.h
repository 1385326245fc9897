// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "base/lock.h"
#include "base/os/event_loop.h"
#include "base/os/file.h"
#include "base/os/unix_socket.h"
#include "device/console_sink.h"

namespace cloister::cell {

// The guest's output in two files that are filled in turn, so that the last output is always there and never
// takes more than twice kMostEach. Not thread safe.
class ConsoleLog {
 public:
  static constexpr u64 kMostEach = kMiB;

  ConsoleLog(os::File first, os::File second) : files_{std::move(first), std::move(second)} {}
  // Goes on where the fuller of the two is not full.
  Result<void> begin();
  void write(std::span<const std::byte> bytes);

 private:
  std::array<os::File, 2> files_;
  std::size_t current_ = 0;
  u64 size_ = 0;
};

// The console of a cell without a terminal: what the guest prints goes to the log and to everybody who has
// connected; what they type goes to the guest. Who reads too slowly misses output; nobody holds up the
// guest. write() from any thread, the rest on the event loop's.
class ConsolePort final : public device::ConsoleSink {
 public:
  static constexpr std::size_t kMostClients = 8;
  static constexpr std::size_t kMostWaiting = 256 * kKiB;  // of output, for all; more is dropped

  explicit ConsolePort(ConsoleLog log) : log_(std::move(log)) {}

  // `listener`: a listening socket. `type` takes what was typed and returns how much of it found room.
  Result<void> serve(os::EventLoop& loop, os::Fd listener,
                     std::function<std::size_t(std::span<const std::byte>)> type);
  void write(std::span<const std::byte> bytes) override;
  // The end, when the loop runs no more: shows what was printed last, and parts from the loop and everybody.
  void finish();

 private:
  struct Client {
    os::UnixStream stream;
    std::vector<std::byte> typed;   // for which the guest had no room yet
    std::vector<std::byte> unread;  // printed, and not taken by the client yet
  };

  void show();
  void accept();
  void on_client(int id, os::Ready ready);
  void deliver(int id);
  void push(int id);
  void drop(int id);

  os::EventLoop* loop_ = nullptr;
  os::Fd listener_;
  std::function<std::size_t(std::span<const std::byte>)> type_;
  std::map<int, Client> clients_;  // by descriptor

  Mutex mutex_{LockRank::kConsoleOutput};
  std::vector<std::byte> printed_ GUARDED_BY(mutex_);
  bool posted_ GUARDED_BY(mutex_) = false;
  ConsoleLog log_;  // the loop's
};

}  // namespace cloister::cell
