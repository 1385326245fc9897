// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <functional>
#include <memory>

#include "base/lock.h"
#include "base/os/event_loop.h"
#include "base/os/thread.h"
#include "base/result.h"

namespace cloister::host {

// Writes down what must be on the disk before anybody is told of it, on a thread of its own: a flush may take
// minutes while guests write much, and the event loop waits for nothing. One thing after the other, in the
// order in which they were asked for. On the event loop's thread.
class Clerk {
 public:
  using Work = std::function<Result<void>()>;
  using Then = std::function<void(const Result<void>&)>;

  explicit Clerk(os::EventLoop& loop) : loop_(loop) {}
  // All that was asked for is done first; nobody is told.
  ~Clerk();
  Clerk(const Clerk&) = delete;
  Clerk& operator=(const Clerk&) = delete;

  // Runs work() on the clerk's thread, then then(its result) on the loop's. Where the host has no thread
  // left, work() is done here and now.
  void write(Work work, Then then);

 private:
  struct Job {
    Work work;
    Then then;
  };

  bool start();
  void run();
  void tell(const Job& job, const Result<void>& done);

  os::EventLoop& loop_;
  // Cleared at the end: what was posted then finds nobody.
  const std::shared_ptr<bool> here_ = std::make_shared<bool>(true);
  Mutex mutex_{LockRank::kClerk};
  Condition changed_;
  std::deque<Job> jobs_ GUARDED_BY(mutex_);
  bool end_ GUARDED_BY(mutex_) = false;
  os::Thread thread_;
};

}  // namespace cloister::host
