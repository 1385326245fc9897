// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <mutex>

#include "base/check.h"

// Clang's thread-safety analysis (-Wthread-safety); nothing to g++.
#if defined(__clang__)
#define CLOISTER_TSA(x) __attribute__((x))
#else
#define CLOISTER_TSA(x)
#endif
#define GUARDED_BY(x) CLOISTER_TSA(guarded_by(x))
#define REQUIRES(...) CLOISTER_TSA(requires_capability(__VA_ARGS__))
#define EXCLUDES(...) CLOISTER_TSA(locks_excluded(__VA_ARGS__))

namespace cloister {

// Outermost first: a thread may take a lock only of a higher number than all that it holds.
// A new lock needs a new line here, and a reason.
enum class LockRank : int {
  kNone = 0,
  kClerk,        // what the daemon is to write down: held for copies alone
  kHousekeeper,  // what a cell's housekeeper is to do: held for copies alone
  kMachine,      // power state and the list of harts: taken by the SBI before it wakes a hart
  kTransport,    // a virtio device's registers: the device behind them takes its own lock under it
  kDevice,       // one device's registers and rings: a device reads guest memory under it
  kDisk,         // a disk image's clusters: filled by a device, from guest memory that it has pinned before
  kGuestMemory,  // page states: taken by devices and harts, never held while waiting for a hart
  kCompressedStore,  // packed pages: for one copy, by whoever gives up a page or wants it back
  kSwapSlots,        // the map of free swap slots: likewise
  kReadAhead,        // what was read from swap beside what was wanted: held for moments
  kSignal,      // what a device tells its driver (interrupt status, console input): under any device's lock
  kInterrupts,  // PLIC state: any device raises its line under its own lock, and the PLIC kicks a hart under
                // this
  kHart,        // a hart's mailbox and sleep: taken by whoever kicks a hart
  kLease,       // a cell's allowance of frames: taken from and given back to under memory's locks
  kConsoleOutput,  // what a guest printed, on its way out: any device prints under its own lock
  kPosted,         // an event loop's posted calls: anyone may post under a lock of their own
  kWorkshop,       // what harts want translated: held for moments, by a hart and by the thread that does it
  kShelf,          // what was translated for some hart: for a look-up, by harts and that thread
  kLog,
};

// A mutex that knows its place. Debug builds CHECK the order on every lock(). Whoever finds it taken looks
// out for its end a moment before it sleeps, for most are held for less than a sleep takes.
class CLOISTER_TSA(capability("mutex")) Mutex {
 public:
  explicit Mutex(LockRank rank) : rank_(rank) {
    *mutex_.native_handle() = PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP;
  }
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  void lock() CLOISTER_TSA(acquire_capability()) {
    note_taken();
    mutex_.lock();
  }
  void unlock() CLOISTER_TSA(release_capability()) {
    mutex_.unlock();
    note_released();
  }

 private:
  friend class Condition;
#ifdef NDEBUG
  void note_taken() {}
  void note_released() {}
#else
  void note_taken();
  void note_released();
#endif

  [[maybe_unused]] const LockRank rank_;
  std::mutex mutex_;
};

class CLOISTER_TSA(scoped_lockable) MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) CLOISTER_TSA(acquire_capability(mutex)) : mutex_(mutex) { mutex_.lock(); }
  ~MutexLock() CLOISTER_TSA(release_capability()) { mutex_.unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

// A condition variable over a Mutex. The caller loops: wake-ups may be spurious.
class Condition {
 public:
  void wait(Mutex& mutex) REQUIRES(mutex) {
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    condition_.wait(lock);
    lock.release();
  }
  // Returns false when `timeout` passed.
  template <typename Duration>
  bool wait_for(Mutex& mutex, Duration timeout) REQUIRES(mutex) {
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    const auto status = condition_.wait_for(lock, timeout);
    lock.release();
    return status == std::cv_status::no_timeout;
  }
  void notify_one() { condition_.notify_one(); }
  void notify_all() { condition_.notify_all(); }

 private:
  std::condition_variable condition_;
};

}  // namespace cloister
