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
// What is owed to the daemon comes first, but not alone. A hart that wants a frame while a debt is paid would
// otherwise stand still until it is paid, and with it the guest that is to pay: its balloon grows into pages
// that have no frame yet as often as into others, and must have one to find that out. So of what comes back,
// as much may stay as was paid, a little at a time, and a loan besides where the guest is asked for its part.
// Reclaim and a greedy guest still run no race: a debt is paid at the latest when twice as much and the loan
// came back. What lies here pays the last of it.
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
    add(frames);
    if (owed_ == Pages{} && spare_.raw > 3 * batch_.raw && waiting_ == 0) {
      returned_ += spare_ - batch_;
      spare_ = batch_;
    }
  }
  changed_.notify_all();
  news_();
}

void Lease::add(Pages frames) {
  spare_ += frames;
  pay(frames);
}

// `come`: the part of what is spare that a debt was not looked at for yet.
void Lease::pay(Pages come) {
  const Pages room = kKept - std::min(kKept, spare_ - come);
  const Pages kept = spare_ < owed_ ? std::min({come, credit_, room}) : Pages{};
  const Pages paid = spare_ < owed_ ? come - kept : owed_;
  spare_ -= paid;
  owed_ -= paid;
  returned_ += paid;
  credit_ -= kept;
  credit_ = std::max(credit_, std::min(credit_ + paid, kKept));
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
    add(frames);
    wanted_ -= std::min(wanted_, frames);
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

void Lease::owe(Pages frames, Pages loan) {
  {
    MutexLock lock(mutex_);
    owed_ = frames;
    credit_ = loan;
    batch_ = kSmallestBatch;
    pay(spare_);
  }
  news_();
}

Pages Lease::owed() const {
  MutexLock lock(mutex_);
  return owed_;
}

Pages Lease::missing() const {
  MutexLock lock(mutex_);
  return owed_ - std::min(owed_, spare_);
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
