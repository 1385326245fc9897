// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <memory>

#include "base/result.h"
#include "base/units.h"

namespace cloister::os {

enum class Ready : u32 { kNone = 0, kRead = 1, kWrite = 2, kHangup = 4 };
constexpr Ready operator|(Ready a, Ready b) {
  return static_cast<Ready>(static_cast<u32>(a) | static_cast<u32>(b));
}
constexpr bool has(Ready set, Ready one) { return (static_cast<u32>(set) & static_cast<u32>(one)) != 0; }

// One thread that waits on descriptors and timers (epoll) and runs call-backs, one at a time.
// The cell has one for its devices' host side: console, network, vsock, control.
class EventLoop {
 public:
  using TimerId = u64;

  static Result<std::unique_ptr<EventLoop>> create();
  ~EventLoop();

  // On the loop's own thread, or before run(). The loop does not own `fd`: forget() it before it is closed.
  // watch() again changes interest and call. kHangup comes unasked, as long as the interest is not kNone.
  // Level triggered. Call-backs may watch, forget, cancel and post anything. cancel() of a timer that ran
  // does nothing.
  Result<void> watch(int fd, Ready interest, std::function<void(Ready)> call);
  void forget(int fd);
  TimerId after(std::chrono::nanoseconds delay, std::function<void()> call);
  void cancel(TimerId timer);

  // Any thread: runs `call` on the loop's thread soon, in order of posting.
  void post(std::function<void()> call);

  // Runs until stop(). stop() may come from any thread, also before run(), which then returns after what was
  // posted and due. What is posted later waits for the next run().
  void run();
  void stop();

 private:
  EventLoop();
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace cloister::os
