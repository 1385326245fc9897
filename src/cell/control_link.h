// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/os/event_loop.h"
#include "base/os/unix_socket.h"
#include "cell/control.h"

namespace cloister::cell {

// The cell's end of the control channel. It greets; when the daemon goes it tries to reach the next one, over
// and over, and greets that. On the event loop's thread, but where it says otherwise.
class ControlLink {
 public:
  struct Listener {
    virtual ~Listener() = default;
    // What to say in a greeting, now.
    virtual control::Hello greeting() = 0;
    // A message of the daemon's kinds. Welcome comes first.
    virtual void on_order(const control::Message& order, os::Fd passed) = 0;
    // The daemon is gone; `ever` tells whether it had welcomed this cell. Another Welcome may come.
    virtual void on_alone(bool ever) = 0;
  };

  // Connects at once. Refused: nobody listens. The loop and the listener outlive the link. Before the loop
  // runs.
  static Result<std::unique_ptr<ControlLink>> connect(os::EventLoop& loop, std::string path,
                                                      Listener& listener);
  ~ControlLink();
  ControlLink(const ControlLink&) = delete;
  ControlLink& operator=(const ControlLink&) = delete;

  bool welcome() const { return welcome_; }
  // Dropped when there is no daemon. What the daemon does not read at once waits; Bound: kMostWaiting, and
  // beyond it the daemon is as good as gone.
  void send(const control::Message& message);
  // The last word, when the loop runs no more.
  void send_at_the_end(const control::Message& message);

 private:
  static constexpr std::size_t kMostWaiting = 4096;

  ControlLink(os::EventLoop& loop, std::string path, Listener& listener)
      : loop_(loop), path_(std::move(path)), listener_(listener) {}
  Result<void> open();
  void on_ready();
  bool read_one();
  void flush();
  void watch();
  void lose();
  void retry();

  os::EventLoop& loop_;
  const std::string path_;
  Listener& listener_;
  os::UnixStream stream_;
  bool open_ = false;
  bool welcome_ = false;
  bool ever_ = false;
  bool watching_writes_ = false;
  std::vector<std::vector<std::byte>> waiting_;
  os::EventLoop::TimerId retry_ = 0;
};

}  // namespace cloister::cell
