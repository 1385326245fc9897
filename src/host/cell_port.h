// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/os/event_loop.h"
#include "base/os/unix_socket.h"
#include "cell/control.h"

namespace cloister::host {

// The daemon's end of the control channel of one cell. A partner that talks nonsense, sends what only the
// daemon may send, or does not read, is cut off with a reason; it can neither block the daemon nor make it
// hold more than kMostWaiting packets. On the event loop's thread.
class CellPort {
 public:
  struct Listener {
    virtual ~Listener() = default;
    // One message of a cell's kinds. May destroy the port.
    virtual void on_message(const cell::control::Message& message) = 0;
    // Nothing more comes. May destroy the port.
    virtual void on_closed(std::string why) = 0;
  };
  static constexpr std::size_t kMostWaiting = 1024;

  // The loop and the listener outlive the port.
  CellPort(os::EventLoop& loop, os::UnixStream stream, Listener& listener);
  ~CellPort();
  CellPort(const CellPort&) = delete;
  CellPort& operator=(const CellPort&) = delete;

  // In order, as soon as the cell reads. Never calls the listener.
  void send(const cell::control::Message& message);
  void send(const cell::control::Message& message, const os::Fd& passed);

  // Reads one message that is there already; false when there is none, or the port is no more.
  bool read_rest() { return closing_.empty() && read_one(); }

 private:
  struct Packet {
    std::vector<std::byte> bytes;
    os::Fd passed;
  };

  void on_ready();
  // False when the port is no more.
  bool read_one();
  void flush();
  void watch();
  void close_soon(std::string why);
  void close(const std::string& why);
  os::Attempt<u64> write(const Packet& packet) const;

  os::EventLoop& loop_;
  os::UnixStream stream_;
  Listener& listener_;
  std::deque<Packet> waiting_;
  bool watching_writes_ = false;
  std::string closing_;  // why; empty: open
  // Cleared at the end: what was posted then finds nobody.
  std::shared_ptr<CellPort*> self_ = std::make_shared<CellPort*>(this);
};

}  // namespace cloister::host
