// SPDX-License-Identifier: Apache-2.0
// Locks and atomics, alone and with a second hart.
#include <atomic>
#include <mutex>
#include <thread>

#include "row.h"

namespace cloister::bench {
namespace {

// libc takes a shorter way while a program has one thread only: keep a second one asleep.
class Sleeper {
 public:
  Sleeper() : thread_{[this] { done_.wait(false); }} {}
  ~Sleeper() {
    done_ = true;
    done_.notify_all();
    thread_.join();
  }
  Sleeper(const Sleeper&) = delete;
  Sleeper& operator=(const Sleeper&) = delete;

 private:
  std::atomic<bool> done_{false};
  std::thread thread_;
};

void count_under_lock(std::mutex& lock, u64& count, u64 rounds) {
  for (; rounds != 0; --rounds) {
    const std::lock_guard<std::mutex> held{lock};
    ++count;
  }
}

void meet(std::atomic<int>& missing) {
  missing.fetch_sub(1);
  while (missing.load() != 0) std::this_thread::yield();
}

}  // namespace

u64 mutex_alone(Scale scale) {
  const Sleeper sleeper;
  std::mutex lock;
  u64 count = 0;
  count_under_lock(lock, count, scale.of(6'000'000));
  return count;
}

u64 lock_two_harts(Scale scale) {
  std::mutex lock;
  u64 count = 0;
  const u64 rounds = scale.of(1'000'000);
  std::atomic<int> missing{2};  // else one is done before the other has begun
  std::thread other{[&] {
    meet(missing);
    count_under_lock(lock, count, rounds);
  }};
  meet(missing);
  count_under_lock(lock, count, rounds);
  other.join();
  return count;
}

u64 atomic_add(Scale scale) {
  std::atomic<u64> sum{0};
  for (u64 round = scale.of(60'000'000); round != 0; --round) sum.fetch_add(round);
  return sum;
}

u64 compare_and_swap(Scale scale) {
  std::atomic<u64> value{1};
  for (u64 round = scale.of(24'000'000); round != 0; --round) {
    u64 expected = value.load(std::memory_order_relaxed);
    value.compare_exchange_strong(expected, expected + round);
  }
  return value;
}

}  // namespace cloister::bench
