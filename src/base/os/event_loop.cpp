// SPDX-License-Identifier: Apache-2.0
// One epoll set holds the watched descriptors, an eventfd for post() and stop(), and a timerfd that is set to
// the earliest deadline. The timerfd, rather than epoll's time-out, gives nanoseconds on every kernel, and is
// set only when the earliest deadline changes.
//
// A call-back may watch, forget and close anything, also descriptors whose events were fetched in the same
// batch. So an event carries the descriptor and the serial number of its watch: an event of a watch that is
// gone, or of an earlier descriptor of the same number, finds no match and is dropped. The call-back is kept
// alive while it runs by a shared pointer.
#include "base/os/event_loop.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <deque>
#include <map>
#include <unordered_map>
#include <utility>

#include "base/lock.h"
#include "base/os/clock.h"
#include "base/os/fd.h"
#include "base/os/os_error.h"

namespace cloister::os {
namespace {

constexpr u64 kWakeTag = UINT64_MAX;
constexpr u64 kTimerTag = UINT64_MAX - 1;

struct Watch {
  u32 serial = 0;
  bool in_epoll = false;
  std::shared_ptr<std::function<void(Ready)>> call;
};

u32 epoll_interest(Ready interest) {
  return (has(interest, Ready::kRead) ? u32{EPOLLIN} : 0) |
         (has(interest, Ready::kWrite) ? u32{EPOLLOUT} : 0);
}

Ready ready_of(u32 events) {
  Ready ready = Ready::kNone;
  if ((events & EPOLLIN) != 0) ready = ready | Ready::kRead;
  if ((events & EPOLLOUT) != 0) ready = ready | Ready::kWrite;
  if ((events & (EPOLLHUP | EPOLLERR)) != 0) ready = ready | Ready::kHangup;
  return ready;
}

u64 tag_of(int fd, u32 serial) { return u64{serial} << 32 | static_cast<u32>(fd); }

}  // namespace

struct EventLoop::State {
  using Deadline = std::pair<u64, TimerId>;  // monotonic nanoseconds; equal deadlines in order of making

  Fd epoll, wake, timer;
  std::unordered_map<int, Watch> watches;
  u32 next_serial = 0;

  std::map<Deadline, std::function<void()>> timers;
  std::unordered_map<TimerId, u64> deadlines;
  TimerId next_timer = 1;
  u64 armed_for = 0;  // what the timerfd is set to; 0: not set

  Mutex mutex{LockRank::kPosted};
  std::deque<std::function<void()>> posted GUARDED_BY(mutex);
  std::atomic<bool> stop{false};

  bool add(int fd, u64 tag) const {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = tag;
    return ::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, fd, &event) == 0;
  }
  void wake_up() const { (void)::eventfd_write(wake.get(), 1); }
  void arm();
  void dispatch(const epoll_event& event);
  void run_timers();
  void run_posted();
};

// Sets the timerfd to the earliest deadline, if that is not what it is set to.
void EventLoop::State::arm() {
  const u64 earliest = timers.empty() ? 0 : timers.begin()->first.first;
  if (earliest == armed_for) return;
  armed_for = earliest;
  itimerspec when{};
  when.it_value.tv_sec = static_cast<time_t>(earliest / 1'000'000'000);
  when.it_value.tv_nsec = static_cast<long>(earliest % 1'000'000'000);
  CHECK(::timerfd_settime(timer.get(), TFD_TIMER_ABSTIME, &when, nullptr) == 0);
}

void EventLoop::State::dispatch(const epoll_event& event) {
  const u64 tag = event.data.u64;
  u64 count = 0;
  if (tag == kWakeTag) return void(::eventfd_read(wake.get(), &count));
  if (tag == kTimerTag) {
    // The expiry is taken from the descriptor; run_timers() then looks at the clock.
    if (::read(timer.get(), &count, sizeof count) > 0) armed_for = 0;
    return;
  }
  const auto found = watches.find(static_cast<int>(static_cast<u32>(tag)));
  if (found == watches.end() || found->second.serial != static_cast<u32>(tag >> 32)) return;
  if (!found->second.in_epoll) return;
  const auto call = found->second.call;
  (*call)(ready_of(event.events));
}

// Only those due at the start: a timer that sets itself again with no delay must not keep the loop.
void EventLoop::State::run_timers() {
  if (timers.empty()) return;
  const Deadline now{monotonic_now().raw, next_timer};
  while (!timers.empty() && timers.begin()->first < now) {
    if (timers.begin()->first.second >= now.second) break;
    auto node = timers.extract(timers.begin());
    deadlines.erase(node.key().second);
    node.mapped()();
  }
}

void EventLoop::State::run_posted() {
  std::deque<std::function<void()>> batch;
  {
    MutexLock lock(mutex);
    batch.swap(posted);
  }
  for (auto& call : batch) call();
}

EventLoop::EventLoop() : state_(std::make_unique<State>()) {}
EventLoop::~EventLoop() = default;

Result<std::unique_ptr<EventLoop>> EventLoop::create() {
  std::unique_ptr<EventLoop> loop(new EventLoop);
  State& state = *loop->state_;
  state.epoll = Fd(::epoll_create1(EPOLL_CLOEXEC));
  state.wake = Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  state.timer = Fd(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  const bool made = state.epoll.valid() && state.wake.valid() && state.timer.valid();
  if (!made || !state.add(state.wake.get(), kWakeTag) || !state.add(state.timer.get(), kTimerTag)) {
    return os_error("cannot make an event loop");
  }
  return loop;
}

Result<void> EventLoop::watch(int fd, Ready interest, std::function<void(Ready)> call) {
  Watch& watch = state_->watches[fd];
  watch.serial = state_->next_serial++;
  watch.call = std::make_shared<std::function<void(Ready)>>(std::move(call));
  if (epoll_interest(interest) == 0) {
    if (std::exchange(watch.in_epoll, false)) ::epoll_ctl(state_->epoll.get(), EPOLL_CTL_DEL, fd, nullptr);
    return {};
  }
  epoll_event event{};
  event.events = epoll_interest(interest);
  event.data.u64 = tag_of(fd, watch.serial);
  // The kernel forgets a descriptor that is closed, so whether it is there now is the kernel's to say.
  watch.in_epoll = ::epoll_ctl(state_->epoll.get(), EPOLL_CTL_ADD, fd, &event) == 0 ||
                   (errno == EEXIST && ::epoll_ctl(state_->epoll.get(), EPOLL_CTL_MOD, fd, &event) == 0);
  if (watch.in_epoll) return {};
  const int problem = errno;
  state_->watches.erase(fd);
  if (problem == EPERM) return error("cannot wait on descriptor {}: a regular file is always ready", fd);
  return os_error(fmt::format("cannot wait on descriptor {}", fd), problem);
}

void EventLoop::forget(int fd) {
  const auto found = state_->watches.find(fd);
  if (found == state_->watches.end()) return;
  if (found->second.in_epoll) ::epoll_ctl(state_->epoll.get(), EPOLL_CTL_DEL, fd, nullptr);
  state_->watches.erase(found);
}

EventLoop::TimerId EventLoop::after(std::chrono::nanoseconds delay, std::function<void()> call) {
  const TimerId id = state_->next_timer++;
  const u64 wait = delay.count() > 0 ? static_cast<u64>(delay.count()) : 0;
  const u64 deadline = monotonic_now().raw + wait;
  state_->timers.emplace(State::Deadline{deadline, id}, std::move(call));
  state_->deadlines.emplace(id, deadline);
  return id;
}

void EventLoop::cancel(TimerId timer) {
  const auto found = state_->deadlines.find(timer);
  if (found == state_->deadlines.end()) return;
  state_->timers.erase({found->second, timer});
  state_->deadlines.erase(found);
}

void EventLoop::post(std::function<void()> call) {
  {
    MutexLock lock(state_->mutex);
    state_->posted.push_back(std::move(call));
  }
  state_->wake_up();
}

void EventLoop::run() {
  std::array<epoll_event, 64> events;
  for (;;) {
    const bool stops = state_->stop.exchange(false);  // before: what was posted earlier is still done
    state_->run_timers();
    state_->run_posted();
    if (stops) return;
    state_->arm();
    const int count = ::epoll_wait(state_->epoll.get(), events.data(), static_cast<int>(events.size()), -1);
    CHECK(count >= 0 || errno == EINTR);
    for (int i = 0; i < count; ++i) state_->dispatch(events[static_cast<std::size_t>(i)]);
  }
}

void EventLoop::stop() {
  state_->stop = true;
  state_->wake_up();
}

}  // namespace cloister::os
