// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/os/event_loop.h"
#include "base/os/unix_socket.h"
#include "cell/control.h"
#include "host/cell_port.h"
#include "host/order.h"
#include "host/starter.h"

namespace cloister::host {

enum class CellState : u8 {
  kStopped,   // defined, no process
  kStarting,  // a process that has not registered yet
  kRunning,
  kPaused,
  kStopping,  // was told to end
  kAway,      // the process lives, and there is no channel to it
};
std::string_view name_of(CellState state);

// One machine that the daemon knows: its order, its process while there is one, and the channel to that. It
// watches over the conversation and nothing more; what frames mean is the owner's. What a cell says is
// taken as said: the owner holds it against the books. On the event loop's thread.
class Cell final : private CellPort::Listener {
 public:
  // Told at once; may not destroy the cell.
  struct Owner {
    virtual ~Owner() = default;
    virtual void cell_registered(Cell& cell, const cell::control::Hello& hello) = 0;
    virtual void cell_said(Cell& cell, const cell::control::Message& message) = 0;
    virtual void cell_lost(Cell& cell, const std::string& why) = 0;  // the channel, not the process
    virtual void cell_ended(Cell& cell, const os::ProcessEnd& end) = 0;
  };

  Cell(os::EventLoop& loop, Owner& owner, MachineOrder order)
      : loop_(loop), owner_(owner), order_(std::move(order)) {}
  ~Cell() override;

  const MachineOrder& order() const { return order_; }
  void set_order(MachineOrder order) { order_ = std::move(order); }
  const std::string& name() const { return order_.name; }
  CellState state() const { return state_; }
  bool has_process() const { return process_ != nullptr; }
  bool connected() const { return port_ != nullptr && registered_; }
  const CellProcess* process() const { return process_.get(); }
  // Monotonic; of the last message.
  Nanos heard() const { return heard_; }

  // Listens where the cell will connect. `owner` of the socket file where it is another's.
  Result<void> listen(const std::string& path);
  // It has a process from now on; `state` is kStarting or kAway.
  Result<void> attach(std::unique_ptr<CellProcess> process, CellState state);
  void send(const cell::control::Message& message);
  void send(const cell::control::Message& message, const os::Fd& passed);
  // Pauses, resumes or ends the machine; the state follows.
  void order_power(cell::control::PowerOrder what);
  void kill();
  // Cuts the channel: the process may come again.
  void cut(const std::string& why);

 private:
  void on_connection();
  void on_process_end();
  void on_message(const cell::control::Message& message) override;
  void on_closed(std::string why) override;
  void on_hello(const cell::control::Hello& hello);
  void release();

  os::EventLoop& loop_;
  Owner& owner_;
  MachineOrder order_;
  CellState state_ = CellState::kStopped;
  std::unique_ptr<CellProcess> process_;
  std::optional<os::UnixListener> listener_;
  std::unique_ptr<CellPort> port_;
  bool registered_ = false;
  Nanos heard_;
};

}  // namespace cloister::host
