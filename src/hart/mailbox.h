// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <vector>

#include "base/lock.h"
#include "base/units.h"
#include "hart/state.h"

namespace cloister::hart {

// A fence that another hart wants done here.
struct Fence {
  enum class Kind : u8 { kInstructions, kAll, kSpace, kRange };
  Kind kind = Kind::kAll;
  u16 asid = 0;
  GuestVirt start;
  Pages pages;
};

// What other threads tell a hart, and how they wake it. Everything but what stands under "the hart's own
// thread" is for any thread.
class Mailbox {
 public:
  explicit Mailbox(std::atomic<u32>& attention) : attention_(attention) {}

  // Sets bits of State::attention and ends a sleep().
  void call(u32 bits);

  void post(const Fence& fence);
  // Returns when all that was posted before is done, or will be before the hart's next guest instruction.
  void await_fences();
  bool fence_outstanding();

  // -- The hart's own thread ------------------------------------------------------------------------------

  // Between these the hart may execute guest instructions, and whoever awaits a fence waits for it.
  void enter_guest();
  void leave_guest();
  // Does each posted fence by apply(fence).
  template <typename Apply>
  void do_fences(Apply&& apply) {
    MutexLock lock(mutex_);
    for (const Fence& fence : fences_) apply(fence);
    fences_.clear();
    if (waiting_ > 0) done_.notify_all();
  }
  // Until call() or the time is over; at once when called since the bits were last attended to.
  void sleep(Nanos at_most);

 private:
  // Bound: more fences than these become one of everything.
  static constexpr u64 kMostFences = 32;
  // Bound: so long a hart looks out for a call, and lets others have its CPU, before it sleeps.
  static constexpr Nanos kLookOut{20'000};

  bool is_called() const { return (attention_.load() & ~attention::kCanWait) != 0; }

  std::atomic<u32>& attention_;
  std::atomic<bool> asleep_{false};
  bool looks_out_ = false;  // the hart's own: it was called soon, last time
  Mutex mutex_{LockRank::kHart};
  Condition wake_;
  Condition done_;
  std::vector<Fence> fences_ GUARDED_BY(mutex_);
  bool in_guest_ GUARDED_BY(mutex_) = false;
  u32 waiting_ GUARDED_BY(mutex_) = 0;
};

}  // namespace cloister::hart
