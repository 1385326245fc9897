// SPDX-License-Identifier: Apache-2.0
#include "agent/balloon_app.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "agent/limits.h"
#include "agent/log.h"

namespace cloister::agent {
namespace {

constexpr std::uint64_t kAskAgain = 10'000;    // milliseconds
constexpr std::uint64_t kTellAtLeast = 1000;   // milliseconds, while there is a balloon
constexpr std::uint64_t kAfterRefusal = 1000;  // milliseconds without growth
constexpr const char* kName = "cloister-agent";

}  // namespace

BalloonApp::~BalloonApp() {
  loop_.cancel(timer_);
  if (orders_) loop_.forget(orders_.fd());
  if (trigger_ >= 0) {
    loop_.forget(trigger_);
    close(trigger_);
  }
}

int BalloonApp::open() {
  cloister_condition condition = {};
  const std::uint64_t size = guest::read_condition(condition) == CLOISTER_OK && condition.configured != 0
                                 ? condition.configured
                                 : reader_.read(SignReader::Extent::kMemory).total;
  most_ = size / 100 * settings_.most_percent;
  int status = balloon_.open(most_);
  if (status == CLOISTER_OK) status = orders_.open(kName, balloon_.most());
  return status;
}

void BalloonApp::start() {
  const int status = open();
  if (status != CLOISTER_OK) {
    if (!complained_) say(Weight::kNotice, "no balloon: %s", cloister_status_text(status));
    complained_ = true;
    timer_ = loop_.after(kAskAgain, [this] { start(); });
    return;
  }
  if (balloon_.most() < most_)
    say(Weight::kWarning, "the balloon can be %llu MiB only: RLIMIT_AS leaves no more room",
        static_cast<unsigned long long>(balloon_.most() >> 20));
  loop_.watch(orders_.fd(), EPOLLIN, [this](std::uint32_t) { follow_orders(); });
  watch_pressure();
  look();
}

// The kernel wakes the loop when tasks begin to wait for memory. Who is not privileged may have windows of 2
// s only; a kernel that refuses both leaves the looks in their own time.
void BalloonApp::watch_pressure() {
  for (const char* trigger : {"some 50000 500000", "some 100000 2000000"}) {
    trigger_ = ::open("/proc/pressure/memory", O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (trigger_ < 0) return;
    if (write(trigger_, trigger, std::strlen(trigger) + 1) > 0 &&
        loop_.watch(trigger_, EPOLLPRI, [this](std::uint32_t events) {
          if ((events & EPOLLERR) != 0) return loop_.forget(trigger_);
          look();
        }))
      return;
    close(trigger_);
    trigger_ = -1;
  }
}

void BalloonApp::follow_orders() {
  bool news = false;
  while (orders_.next(order_) == CLOISTER_OK) news = true;
  if (!news) return;
  told_held_ = UINT64_MAX;  // whoever gave it may be a new host, that knows nothing yet
  look();
}

void BalloonApp::glance_in(std::uint64_t wait) {
  loop_.cancel(timer_);
  timer_ = loop_.after(wait, [this] { glance(); });
}

void BalloonApp::glance() {
  const std::uint64_t wait = policy_.glance(milliseconds(), free_memory());
  if (wait == 0) return look();
  glance_in(wait);
}

void BalloonApp::look() {
  using Extent = SignReader::Extent;
  const Signs signs = reader_.read(policy_.wants_counts(milliseconds()) ? Extent::kAll : Extent::kMemory);
  Bounds bounds;
  bounds.most = balloon_.most();
  if (order_.target >= held() + settings_.band.hysteresis) bounds.room = room_in_groups();
  if (signs.time < refused_until_) bounds.room = 0;
  cloister_condition condition = {};
  (void)guest::read_condition(condition);
  Step step = policy_.decide(signs, {order_.target, order_.rate, condition.swap_in_rate}, bounds, held());
  std::uint32_t reason = carry_out(step);
  if (signs.time < refused_until_ && reason == CLOISTER_BALLOON_LIMIT) reason = refusal_;
  report(reason, signs.time);
  // Nothing to guard and nothing to do: the next order wakes it.
  if (held() == 0 && order_.target == 0) return loop_.cancel(timer_);
  glance_in(step.next);
}

bool BalloonApp::is_met() const { return held() + settings_.band.hysteresis > order_.target; }

// Returns why the balloon is as large as it is.
std::uint32_t BalloonApp::carry_out(const Step& step) {
  if (step.shrink != 0) balloon_.shrink(step.shrink);
  if (step.grow == 0) return step.reason;
  const int status = balloon_.grow(step.grow);
  if (status == CLOISTER_OK) return is_met() ? std::uint32_t{CLOISTER_BALLOON_MET} : step.reason;
  refusal_ = CLOISTER_BALLOON_REFUSED;
  if (status == CLOISTER_NO_ROOM) refusal_ = CLOISTER_BALLOON_LIMIT;
  refused_until_ = milliseconds() + kAfterRefusal;
  return refusal_;
}

void BalloonApp::report(std::uint32_t reason, std::uint64_t time) {
  const bool news = held() != told_held_ || reason != told_reason_ || order_.serial != told_serial_;
  if (!news && time < told_at_ + kTellAtLeast) return;
  orders_.report(held(), reason);
  told_held_ = held();
  told_reason_ = reason;
  told_serial_ = order_.serial;
  told_at_ = time;
}

}  // namespace cloister::agent
