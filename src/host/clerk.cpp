// SPDX-License-Identifier: Apache-2.0
#include "host/clerk.h"

namespace cloister::host {

Clerk::~Clerk() {
  *here_ = false;
  {
    const MutexLock lock(mutex_);
    end_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

bool Clerk::start() {
  if (thread_.running()) return true;
  auto thread = os::Thread::start("clerk", [this] { run(); });
  if (thread.ok()) thread_ = thread.take();
  return thread_.running();
}

void Clerk::write(Work work, Then then) {
  Job job{std::move(work), std::move(then)};
  if (!start()) return tell(job, job.work());
  {
    const MutexLock lock(mutex_);
    jobs_.push_back(std::move(job));
  }
  changed_.notify_all();
}

void Clerk::run() {
  for (;;) {
    Job job;
    {
      const MutexLock lock(mutex_);
      while (jobs_.empty() && !end_) changed_.wait(mutex_);
      if (jobs_.empty()) return;
      job = std::move(jobs_.front());
      jobs_.pop_front();
    }
    tell(job, job.work());
  }
}

void Clerk::tell(const Job& job, const Result<void>& done) {
  loop_.post([here = here_, then = job.then, done] {
    if (*here) then(done);
  });
}

}  // namespace cloister::host
