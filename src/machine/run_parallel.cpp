// SPDX-License-Identifier: Apache-2.0
//
// Harts on threads
//
// A hart executes in slices of about kSlice. Between slices its thread looks at the power, takes a due
// timer, and shows what the guest printed. So no thread of its own is needed for timers: a busy hart sees its
// timer within a slice, and a hart that waits sleeps just until its deadline. A slice is a number of
// instructions, since the engine counts those and not time; how many fit is learned from the last slices,
// because guests run at very different speeds: a loop in registers, a page-fault storm, a CPU shared with
// others.
#include "machine/run_parallel.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "base/check.h"
#include "base/os/thread.h"
#include "base/os/timer_slack.h"

namespace cloister::machine {
namespace {

constexpr Nanos kSlice{200'000};  // Bound: by so much a busy hart's timer may be late
constexpr u64 kShortest = 1'000;  // instructions
constexpr u64 kLongest = 4'000'000;
constexpr Nanos kForEver{~u64{0}};
// Bound: a hart that spins answers an interrupt at most 16 naps of this late.
constexpr std::chrono::microseconds kShortNap{20};
constexpr std::chrono::milliseconds kPauseNap{10};  // Bound: by so much a paused hart goes on late
constexpr u32 kYields = 16;
constexpr Nanos kSleepSlack{1'000};

class HartThread {
 public:
  HartThread(Board& board, HartSlot& slot) : board_(board), slot_(slot) {}

  void run() {
    os::set_timer_slack(kSleepSlack);
    while (board_.power().on()) {
      if (board_.power().paused()) {
        stand_still();
      } else {
        step();
      }
    }
    board_.after_slice();
  }

 private:
  void step() {
    switch (slot_.state.load()) {
      case HartState::kStartPending:
        return board_.harts().begin(slot_);
      case HartState::kStarted:
        return slice();
      case HartState::kSuspended:
        return resume_or_wait();
      case HartState::kStopped:
        return idle(HartState::kStopped, kForEver);
    }
  }

  void slice() {
    const u64 before = slot_.hart.instructions();
    const Nanos start = board_.clock().since_power_on();
    const hart::Exit exit = slot_.hart.run(budget_);
    const Nanos took = board_.clock().since_power_on() - start;
    slot_.running.fetch_add(took.raw, std::memory_order_relaxed);
    learn(slot_.hart.instructions() - before, took);
    if (board_.is_profiled() && exit == hart::Exit::kBudget)
      slot_.samples.add(slot_.hart.pc(), slot_.hart.supervisor());
    board_.after_slice();
    if (exit != hart::Exit::kWait) {
      spins_ = 0;
    } else if (slot_.hart.wait_bound() == kForEver) {
      wait();
    } else {
      give_way();
    }
  }

  // At most twice as many the next time, for one short slice tells little.
  void learn(u64 executed, Nanos took) {
    const u64 fitting = took.raw == 0 ? kLongest : executed * kSlice.raw / took.raw;
    budget_ = std::clamp(std::min(fitting, budget_ * 2), kShortest, kLongest);
  }

  // In the next two the delay is taken before the look at the interrupts: a timer that falls due in between
  // is seen by the look.

  void resume_or_wait() {
    const Nanos delay = timer_delay();
    if (slot_.hart.interrupt_pending()) {
      slot_.state = HartState::kStarted;
    } else {
      idle(HartState::kSuspended, delay);
    }
  }

  void wait() {
    spins_ = 0;
    const Nanos delay = timer_delay();
    if (slot_.hart.interrupt_pending()) return;
    slot_.waits.fetch_add(1, std::memory_order_relaxed);
    slot_.hart.sleep(delay);
  }

  // The guest spins (PAUSE, WRS.*), for something that another hart does or holds. That one may have no CPU
  // just now: first the CPU is offered to whoever wants it, then it is left for a while, so that many
  // spinning harts on few CPUs do not keep the one away that they all wait for. An interrupt that is pending
  // but masked, as in most such loops, is no reason to go on spinning.
  void give_way() {
    ++spins_;
    if (spins_ <= kYields) return std::this_thread::yield();
    const u32 doublings = std::min((spins_ - kYields) / 8, 4u);
    std::this_thread::sleep_for(kShortNap * (1u << doublings));
  }

  // Without a guest to execute. run(0) does what others have posted, so that sleep() ends only for what comes
  // after; what came before it shows in the state, the power or the interrupts.
  void idle(HartState state, Nanos at_most) {
    (void)slot_.hart.run(0);
    if (slot_.state.load() != state || !board_.power().on()) return;
    if (state == HartState::kSuspended && slot_.hart.interrupt_pending()) return;
    slot_.hart.sleep(at_most);
  }

  // Not one instruction of the guest; whatever comes for it waits too.
  void stand_still() { std::this_thread::sleep_for(kPauseNap); }

  // For ever when the timer is due: if its interrupt is enabled, it is pending.
  Nanos timer_delay() {
    const u64 deadline = slot_.hart.timer_deadline();
    const u64 now = board_.time();
    if (deadline <= now) return kForEver;
    const u64 ticks = deadline - now;
    return ticks > kForEver.raw / kNanosPerTick ? kForEver : Nanos{ticks * kNanosPerTick};
  }

  Board& board_;
  HartSlot& slot_;
  u64 budget_ = kShortest;
  u32 spins_ = 0;  // slices in a row that ended in give_way()
};

}  // namespace

Result<void> run_parallel(Board& board) {
  std::vector<os::Thread> threads;
  std::optional<Error> failure;
  for (u32 id = 0; id < board.harts().count() && !failure; ++id) {
    HartSlot& slot = board.harts()[id];
    auto thread =
        os::Thread::start(fmt::format("hart {}", id), [&board, &slot] { HartThread(board, slot).run(); });
    if (thread.ok())
      threads.push_back(thread.take());
    else
      failure = thread.failure();
  }
  if (failure) board.end(PowerEvent::kFailure);
  for (os::Thread& thread : threads) thread.join();
  if (failure) return *failure;
  return {};
}

}  // namespace cloister::machine
