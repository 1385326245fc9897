// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <unordered_map>

namespace cloister::agent {

// The agent's one loop: descriptors and times. Everything runs in it, one thing after the other.
class Loop {
 public:
  using Ready = std::function<void(std::uint32_t events)>;  // EPOLLIN and the like
  using Task = std::function<void()>;
  using Timer = std::uint64_t;  // 0: none

  Loop();
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // Calls `ready` while the descriptor is as `events` say; false when the kernel refuses. One descriptor is
  // watched once.
  bool watch(int descriptor, std::uint32_t events, Ready ready);
  // Does nothing when it is not watched; so does forget.
  void change(int descriptor, std::uint32_t events);
  // Must be called before the descriptor is closed. Also from within its own call.
  void forget(int descriptor);

  // Calls `task` once after so many milliseconds.
  Timer after(std::uint64_t milliseconds, Task task);
  void cancel(Timer timer);

  // Runs until stop().
  void run();
  // One turn: waits at most so long for the next thing to do, and does all that is due.
  void turn(int most_milliseconds);
  void stop() { stopped_ = true; }

 private:
  struct Watched {
    std::uint64_t number;
    Ready ready;
  };

  int wait_for() const;
  void run_timers();

  int poll_ = -1;
  bool stopped_ = false;
  std::uint64_t last_number_ = 0;
  std::unordered_map<int, Watched> watched_;
  // A number tells a descriptor from a later one with the same value.
  std::unordered_map<std::uint64_t, int> by_number_;
  std::map<std::pair<std::uint64_t, Timer>, Task> timers_;
  std::unordered_map<Timer, std::uint64_t> times_;
};

// Milliseconds of the monotonic clock.
std::uint64_t milliseconds();

}  // namespace cloister::agent
