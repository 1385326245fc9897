// SPDX-License-Identifier: Apache-2.0
// Shootdown with quiescence
//
// The problem: harts use frames through soft TLBs without a lock or a count, millions of times a second, and
// yet a page must be provably unused before it changes. As with RCU, the cost goes to the one who changes: it
// asks each holder to pass a point where it uses nothing (a safe point), and waits.
//
// Two numbers for each holder carry the protocol. `posted` counts the shootdowns put to its mailbox, `done`
// those carried out by its own thread. A holder is quiet about shootdown n when done >= n, or when it is
// parked: `thread` is null. A parked holder costs an initiator no wait, only the note in its mailbox, which
// the holder reads in enter() before it uses a frame again.
//
// Race: enter() against a shootdown. The holder stores `thread`, then loads `posted`; the initiator adds to
// `posted`, then loads `thread`. All four are sequentially consistent, so at least one sees the other: either
// the holder empties its mailbox in enter(), or the initiator sees it entered and waits for `done`. leave()
// against the start of a wait is the same with `waiters_` in place of `posted`.
//
// Race: a translation made during the shootdown. The caller marks the page as changing before it posts. A
// holder that reads the word after it carried the shootdown out sees the mark, through the mailbox, and
// waits; one that read the word before has the shootdown still to come.
//
// A thread that waits parks the holders that it entered, and they empty their mailboxes when the wait is
// over. So two harts that shoot at each other both go on, and a machine that runs all its harts on one thread
// needs nothing of its own. What must not happen is a holder that blocks on something else while it counts as
// running: a hart leaves before it takes a device's lock or sleeps, because the lock's owner may be waiting
// for it here.
//
// Bound: the wait is as long as the longest way of a hart to its safe point (one block). A mailbox holds at
// most kMailboxPages, then it says "all", which is the cheaper answer for the TLB too.
#include "memory/holders.h"

#include "base/log.h"

namespace cloister::memory {
namespace {

constexpr std::size_t kMailboxPages = 512;

}  // namespace

const void* Holders::this_thread() {
  thread_local const char place = 0;
  return &place;
}

Holders::Id Holders::attach(TlbHolder& tlb) {
  for (Id id = 0; id < kMax; ++id) {
    Holder& holder = holders_[id];
    MutexLock lock(holder.mailbox);
    if (holder.tlb != nullptr) continue;
    holder.tlb = &tlb;
    holder.done = holder.posted.load();
    u32 used = used_.load();
    while (used <= id && !used_.compare_exchange_weak(used, id + 1)) continue;
    return id;
  }
  CHECK(false);
  return kMax;
}

void Holders::detach(Id id) {
  Holder& holder = holders_[id];
  CHECK(holder.thread.load() == nullptr);
  MutexLock lock(holder.mailbox);
  CHECK(holder.tlb != nullptr);
  holder.tlb = nullptr;
  holder.pages.clear();
  holder.all_pages = false;
}

void Holders::enter(Id id) {
  Holder& holder = holders_[id];
  DCHECK(holder.thread.load() == nullptr);
  holder.thread.store(this_thread());
  safe_point(id);
}

void Holders::leave(Id id) {
  Holder& holder = holders_[id];
  DCHECK(holder.thread.load() == this_thread());
  holder.thread.store(nullptr);
  wake();
}

Holders::ParkedHere::ParkedHere(Holders& holders) : holders_(holders) {
  const u32 used = holders_.used_.load();
  for (Id id = 0; id < used; ++id) {
    mine_[id] = holders_.entered_here(id);
    if (mine_[id]) holders_.leave(id);
  }
}

Holders::ParkedHere::~ParkedHere() {
  for (Id id = 0; id < kMax; ++id) {
    if (mine_[id]) holders_.enter(id);
  }
}

void Holders::shoot_down(std::span<const Gpn> pages) {
  if (pages.empty()) return;
  const ParkedHere parked(*this);
  const std::span<Holder> holders = in_use();
  std::array<u64, kMax> wanted;
  for (std::size_t i = 0; i < holders.size(); ++i) wanted[i] = post(holders[i], pages);
  for (std::size_t i = 0; i < holders.size(); ++i) {
    const Holder& holder = holders[i];
    wait_parked([&] { return holder.thread.load() == nullptr || holder.done.load() >= wanted[i]; });
  }
}

// The number that `done` must reach.
u64 Holders::post(Holder& holder, std::span<const Gpn> pages) {
  MutexLock lock(holder.mailbox);
  if (holder.tlb == nullptr) return 0;
  holder.all_pages = holder.all_pages || holder.pages.size() + pages.size() > kMailboxPages;
  if (holder.all_pages) {
    holder.pages.clear();
  } else {
    holder.pages.insert(holder.pages.end(), pages.begin(), pages.end());
  }
  const u64 number = holder.posted.fetch_add(1) + 1;
  // Under the mailbox's lock, so that detach() cannot take the holder away meanwhile.
  if (holder.thread.load() != nullptr) holder.tlb->ask_for_safe_point();
  return number;
}

void Holders::empty_mailbox(Holder& holder) {
  PageSet pages;
  u64 number = 0;
  TlbHolder* tlb = nullptr;
  {
    MutexLock lock(holder.mailbox);
    number = holder.posted.load();
    pages = holder.all_pages ? PageSet::all() : PageSet(std::exchange(holder.pages, {}));
    holder.all_pages = false;
    tlb = holder.tlb;
  }
  tlb->forget(pages);
  holder.done.store(number);
  wake();
}

void Holders::wake() {
  if (waiters_.load() == 0) return;
  // A waiter is either before its look at done(), and sees the change, or asleep.
  { const MutexLock lock(mutex_); }
  changed_.notify_all();
}

void Holders::complain(u64 rounds) {
  if (rounds != 0) return;
  log(LogLevel::kWarning,
      "a hart has not come to a safe point for {} seconds: it is stopped, or its host is overloaded",
      kPatience.count());
}

}  // namespace cloister::memory
