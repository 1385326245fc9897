// SPDX-License-Identifier: Apache-2.0
#include "hart/mailbox.h"

#include <algorithm>
#include <chrono>

#include "base/os/clock.h"
#include "base/os/look_out.h"

namespace cloister::hart {

// Race: a sleeper says asleep_ and then looks at the attention word; a caller changes the word and then looks
// at asleep_. Both sequentially consistent, so one of them sees the other.
void Mailbox::call(u32 bits) {
  attention_.fetch_or(bits);
  if (!asleep_.load()) return;
  { const MutexLock lock(mutex_); }  // he looks at the word, or waits already
  wake_.notify_one();
}

// Harts that wait for each other are called within microseconds.
void Mailbox::sleep(Nanos at_most) {
  constexpr Nanos kLongest{3'600'000'000'000};  // keeps the clock's arithmetic far from overflow
  const Nanos begin = os::monotonic_now(), end = begin + std::min(at_most, kLongest);
  if (looks_out_) os::look_out(std::min(begin + kLookOut, end), [this] { return is_called(); });
  if (is_called()) return;
  MutexLock lock(mutex_);
  asleep_.store(true);
  while (!is_called()) {
    const Nanos now = os::monotonic_now();
    if (now >= end || !wake_.wait_for(mutex_, std::chrono::nanoseconds(end.raw - now.raw))) break;
  }
  asleep_.store(false);
  looks_out_ = is_called() && os::monotonic_now() < begin + kLookOut + kLookOut;
}

void Mailbox::post(const Fence& fence) {
  {
    MutexLock lock(mutex_);
    if (fences_.size() < kMostFences) {
      fences_.push_back(fence);
    } else {
      fences_.assign({Fence{Fence::Kind::kInstructions, 0, {}, {}}, Fence{}});
    }
  }
  attention_.fetch_or(attention::kFence);
}

// A hart outside the guest does its fences first when it comes back: the lock orders enter_guest() after
// post(), so that the hart sees the attention bit.
void Mailbox::await_fences() {
  MutexLock lock(mutex_);
  ++waiting_;
  while (in_guest_ && !fences_.empty()) done_.wait(mutex_);
  --waiting_;
}

bool Mailbox::fence_outstanding() {
  MutexLock lock(mutex_);
  return in_guest_ && !fences_.empty();
}

void Mailbox::enter_guest() {
  MutexLock lock(mutex_);
  in_guest_ = true;
}

void Mailbox::leave_guest() {
  MutexLock lock(mutex_);
  in_guest_ = false;
  if (waiting_ > 0) done_.notify_all();
}

}  // namespace cloister::hart
