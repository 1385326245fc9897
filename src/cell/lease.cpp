// SPDX-License-Identifier: Apache-2.0
//
// How many frames to ask for
//
// A guest that grows by 1 GiB/s needs 262,144 frames a second; asking the daemon for each would be that many
// messages. So frames come in batches, and the next batch is asked for when half of the last is left, so
// that in steady growth nobody waits. The batch doubles, up to 16 MiB, when the last one was gone within
// kQuick, and halves when it lasted: a guest at rest keeps at most a megabyte or so that it does not use, for
// what lies here is missing elsewhere. A guest that frees a lot gives it back at once but for one batch.
//
// What is owed to the daemon comes first: as long as anything is, frames that come back are not spare, and
// a hart that wants one has to ask, so that reclaim and a greedy guest do not run a race.
#include "cell/lease.h"

#include <algorithm>

#include "base/check.h"
#include "base/os/clock.h"

namespace cloister::cell {
namespace {

constexpr Nanos kQuick{20'000'000};
constexpr Nanos kLong{500'000'000};

}  // namespace

Pages Lease::take_spare(Pages most) {
  const Pages taken = std::min(most, spare_);
  spare_ -= taken;
  used_ += taken;
  return taken;
}

// True when that is news.
bool Lease::ask_ahead() {
  if (spare_.raw > batch_.raw / 2 || wanted_ >= batch_) return false;
  wanted_ = batch_;
  return ask_ = true;
}

Pages Lease::try_take(Pages most) {
  bool news = false;
  Pages taken;
  {
    MutexLock lock(mutex_);
    taken = take_spare(most);
    news = ask_ahead();
  }
  if (news) news_();
  return taken;
}

Pages Lease::take(Pages most) {
  for (;;) {
    const Pages taken = try_take(most);
    if (taken != Pages{} || !begin_waiting()) return taken;
    news_();  // that somebody waits
    wait();
  }
}

// False: there is nothing to wait for any more.
bool Lease::begin_waiting() {
  MutexLock lock(mutex_);
  if (closed_) return false;
  ++waiting_;
  wanted_ = std::max(wanted_, batch_);
  return ask_ = true;
}

// For a frame, or for the moment to ask anew.
void Lease::wait() {
  MutexLock lock(mutex_);
  for (const u64 before = refusals_; spare_ == Pages{} && !closed_ && refusals_ == before;)
    changed_.wait(mutex_);
  --waiting_;
}

void Lease::give_back(Pages frames) {
  {
    MutexLock lock(mutex_);
    CHECK(frames <= used_);
    used_ -= frames;
    spare_ += frames;
    pay();
    if (spare_.raw > 3 * batch_.raw && waiting_ == 0) {
      returned_ += spare_ - batch_;
      spare_ = batch_;
    }
  }
  changed_.notify_all();
  news_();
}

void Lease::pay() {
  const Pages paid = std::min(owed_, spare_);
  spare_ -= paid;
  owed_ -= paid;
  returned_ += paid;
}

Lease::News Lease::take_news() {
  MutexLock lock(mutex_);
  const News news{returned_, wanted_, ask_, waiting_ != 0};
  returned_ = {};
  ask_ = false;
  return news;
}

void Lease::granted(Pages frames) {
  {
    MutexLock lock(mutex_);
    const Nanos now = os::monotonic_now();
    const Nanos since = now - granted_at_;
    granted_at_ = now;
    if (since < kQuick) batch_ = std::min(batch_ + batch_, kLargestBatch);
    if (since > kLong) batch_ = kSmallestBatch;
    spare_ += frames;
    wanted_ -= std::min(wanted_, frames);
    pay();
  }
  changed_.notify_all();
  news_();
}

void Lease::refused() {
  {
    MutexLock lock(mutex_);
    wanted_ = {};
    batch_ = kSmallestBatch;
    ++refusals_;
  }
  changed_.notify_all();
}

Pages Lease::held_for_greeting() {
  MutexLock lock(mutex_);
  returned_ = {};
  owed_ = {};
  ask_ = wanted_ != Pages{};
  return used_ + spare_;
}

void Lease::owe(Pages frames) {
  {
    MutexLock lock(mutex_);
    owed_ = frames;
    batch_ = kSmallestBatch;
    pay();
  }
  news_();
}

Pages Lease::owed() const {
  MutexLock lock(mutex_);
  return owed_;
}

bool Lease::waiting() const {
  MutexLock lock(mutex_);
  return waiting_ != 0 && spare_ == Pages{};
}

Lease::Figures Lease::figures() const {
  MutexLock lock(mutex_);
  return {used_ + spare_, used_};
}

void Lease::close() {
  {
    MutexLock lock(mutex_);
    closed_ = true;
  }
  changed_.notify_all();
}

}  // namespace cloister::cell
