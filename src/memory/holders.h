// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <span>
#include <utility>
#include <vector>

#include "base/lock.h"
#include "base/units.h"
#include "memory/page_set.h"

namespace cloister::memory {

// A hart, as this module sees it.
class TlbHolder {
 public:
  virtual ~TlbHolder() = default;
  // Call GuestMemory::safe_point() soon. Any thread; must not block and takes no lock above LockRank::kHart.
  virtual void ask_for_safe_point() = 0;
  // Forget all cached translations to `pages`. Called on the holder's own thread inside enter() or
  // safe_point(), or inside a call of GuestMemory that had to wait, such as frame().
  virtual void forget(const PageSet& pages) = 0;
};

// Who may have translations to guest pages, and how they are taken back (essay in holders.cpp).
// Lock rank: mailboxes and the wait are LockRank::kGuestMemory, one at a time.
class Holders {
 public:
  using Id = u32;
  static constexpr u32 kMax = 128;  // Bound: twice the harts of the largest machine

  Id attach(TlbHolder& tlb);  // parked. Precondition: fewer than kMax are attached.
  void detach(Id id);         // Precondition: parked

  void enter(Id id);
  void safe_point(Id id) {
    Holder& holder = holders_[id];
    if (holder.posted.load() != holder.done.load(std::memory_order_relaxed)) empty_mailbox(holder);
  }
  void leave(Id id);
  bool entered_here(Id id) const { return holders_[id].thread.load() == this_thread(); }

  // Returns when no holder has a translation to any of `pages`, nor gets one by a look at a page that it
  // began before. The holders that entered on this thread count as parked meanwhile. Precondition: not within
  // a use of a frame.
  void shoot_down(std::span<const Gpn> pages);

  // Blocks until done(), with this thread's holders parked. Whoever makes it true calls wake() afterwards.
  template <typename Done>
  void wait_until(Done done) {
    const ParkedHere parked(*this);
    wait_parked(done);
  }
  void wake();

  // Runs work(), which may block, with this thread's holders parked.
  template <typename Work>
  auto while_parked(Work work) {
    const ParkedHere parked(*this);
    return work();
  }

 private:
  struct alignas(64) Holder {
    std::atomic<const void*> thread{nullptr};  // the thread that entered it; null: parked
    std::atomic<u64> posted{0};                // shootdowns put to the mailbox, ever
    std::atomic<u64> done{0};                  // how many of them were carried out
    Mutex mailbox{LockRank::kGuestMemory};
    TlbHolder* tlb GUARDED_BY(mailbox) = nullptr;
    std::vector<Gpn> pages GUARDED_BY(mailbox);
    bool all_pages GUARDED_BY(mailbox) = false;
  };

  // Parks the holders of this thread for a scope.
  class ParkedHere {
   public:
    explicit ParkedHere(Holders& holders);
    ~ParkedHere();
    ParkedHere(const ParkedHere&) = delete;
    ParkedHere& operator=(const ParkedHere&) = delete;

   private:
    Holders& holders_;
    std::array<bool, kMax> mine_{};
  };

  // How long a wait looks before it sleeps: a running hart comes to its safe point within a few microseconds.
  static constexpr int kSpins = 400;
  static constexpr std::chrono::seconds kPatience{5};

  template <typename Done>
  static bool spin_until(Done done) {
    for (int i = 0; i < kSpins; ++i) {
      if (done()) return true;
      __builtin_ia32_pause();
    }
    return false;
  }
  template <typename Done>
  void wait_parked(Done done) {
    if (spin_until(done)) return;
    waiters_.fetch_add(1);
    {
      MutexLock lock(mutex_);
      for (u64 rounds = 0; !done(); ++rounds) {
        if (!changed_.wait_for(mutex_, kPatience)) complain(rounds);
      }
    }
    waiters_.fetch_sub(1);
  }
  static const void* this_thread();
  static void complain(u64 rounds);
  u64 post(Holder& holder, std::span<const Gpn> pages);
  void empty_mailbox(Holder& holder);
  std::span<Holder> in_use() { return {holders_.data(), used_.load()}; }

  std::array<Holder, kMax> holders_;
  std::atomic<u32> used_{0};  // no holder at or past it was ever attached
  Mutex mutex_{LockRank::kGuestMemory};
  Condition changed_;
  std::atomic<u32> waiters_{0};
};

}  // namespace cloister::memory
