// SPDX-License-Identifier: Apache-2.0
#include "agent/loop.h"

#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <utility>

namespace cloister::agent {

std::uint64_t milliseconds() {
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1000 + static_cast<std::uint64_t>(now.tv_nsec) / 1'000'000;
}

Loop::Loop() : poll_(epoll_create1(EPOLL_CLOEXEC)) {
  if (poll_ >= 0) return;
  std::perror("cloister-agent: epoll_create1");
  std::exit(1);
}

Loop::~Loop() { close(poll_); }

bool Loop::watch(int descriptor, std::uint32_t events, Ready ready) {
  epoll_event event = {};
  event.events = events;
  event.data.u64 = ++last_number_;
  if (epoll_ctl(poll_, EPOLL_CTL_ADD, descriptor, &event) != 0) return false;
  watched_[descriptor] = {last_number_, std::move(ready)};
  by_number_[last_number_] = descriptor;
  return true;
}

void Loop::change(int descriptor, std::uint32_t events) {
  const auto found = watched_.find(descriptor);
  if (found == watched_.end()) return;
  epoll_event event = {};
  event.events = events;
  event.data.u64 = found->second.number;
  epoll_ctl(poll_, EPOLL_CTL_MOD, descriptor, &event);
}

void Loop::forget(int descriptor) {
  const auto found = watched_.find(descriptor);
  if (found == watched_.end()) return;
  epoll_ctl(poll_, EPOLL_CTL_DEL, descriptor, nullptr);
  by_number_.erase(found->second.number);
  watched_.erase(found);
}

Loop::Timer Loop::after(std::uint64_t wait, Task task) {
  const Timer timer = ++last_number_;
  const std::uint64_t at = milliseconds() + wait;
  times_[timer] = at;
  timers_[{at, timer}] = std::move(task);
  return timer;
}

void Loop::cancel(Timer timer) {
  const auto found = times_.find(timer);
  if (found == times_.end()) return;
  timers_.erase({found->second, timer});
  times_.erase(found);
}

int Loop::wait_for() const {
  if (timers_.empty()) return -1;
  const std::uint64_t now = milliseconds();
  const std::uint64_t at = timers_.begin()->first.first;
  return at <= now ? 0 : static_cast<int>(std::min<std::uint64_t>(at - now, 60'000));
}

// Those that are set meanwhile wait for the next turn: a task may set itself anew at once.
void Loop::run_timers() {
  const std::uint64_t now = milliseconds();
  const Timer newest = last_number_;
  while (!timers_.empty() && !stopped_) {
    const auto first = timers_.begin();
    if (first->first.first > now || first->first.second > newest) break;
    const Task task = std::move(first->second);
    times_.erase(first->first.second);
    timers_.erase(first);
    task();
  }
}

void Loop::turn(int most_milliseconds) {
  epoll_event events[64];
  const int due = wait_for();
  const int wait = due < 0                 ? most_milliseconds
                   : most_milliseconds < 0 ? due
                                           : std::min(due, most_milliseconds);
  const int count = epoll_wait(poll_, events, 64, wait);
  for (int i = 0; i < count && !stopped_; ++i) {
    const std::uint64_t number = events[i].data.u64;  // a copy: the structure may be packed
    const auto found = by_number_.find(number);
    if (found == by_number_.end()) continue;
    const Ready ready = watched_.at(found->second).ready;  // it may forget itself
    ready(events[i].events);
  }
  run_timers();
}

void Loop::run() {
  while (!stopped_) turn(-1);
}

}  // namespace cloister::agent
