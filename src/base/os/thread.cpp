// SPDX-License-Identifier: Apache-2.0
#include "base/os/thread.h"

#include <pthread.h>
#include <sched.h>

#include <system_error>
#include <utility>

#include "base/os/os_error.h"

namespace cloister::os {

Result<Thread> Thread::start(const std::string& name, std::function<void()> body) {
  Thread started;
  try {
    started.thread_ = std::thread([name, body = std::move(body)] {
      set_thread_name(name);
      body();
    });
  } catch (const std::system_error& failure) {
    return os_error(fmt::format("cannot start thread '{}'", name), failure.code().value());
  }
  return started;
}

Thread& Thread::operator=(Thread&& other) noexcept {
  join();
  thread_ = std::move(other.thread_);
  return *this;
}

void Thread::join() {
  if (running()) thread_.join();
}

u32 current_cpu() { return static_cast<u32>(::sched_getcpu()); }

void set_thread_name(const std::string& name) {
  // Bound: the kernel keeps 15 bytes and a NUL.
  ::pthread_setname_np(::pthread_self(), name.substr(0, 15).c_str());
}

}  // namespace cloister::os
