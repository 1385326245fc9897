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

#include "base/check.h"
#include "base/os/thread.h"

namespace cloister::machine {
namespace {

constexpr Nanos kSlice{200'000};  // Bound: by so much a busy hart's timer may be late
constexpr u64 kShortest = 1'000;  // instructions
constexpr u64 kLongest = 4'000'000;
constexpr Nanos kForEver{~u64{0}};

class HartThread {
 public:
  HartThread(Board& board, HartSlot& slot) : board_(board), slot_(slot) {}

  void run() {
    while (board_.power().on()) step();
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
    board_.after_slice();
    if (exit == hart::Exit::kWait) wait();
  }

  // At most twice as many the next time, for one short slice tells little.
  void learn(u64 executed, Nanos took) {
    const u64 fitting = took.raw == 0 ? kLongest : executed * kSlice.raw / took.raw;
    budget_ = std::clamp(std::min(fitting, budget_ * 2), kShortest, kLongest);
  }

  void resume_or_wait() {
    if (slot_.hart.interrupt_pending()) {
      slot_.state = HartState::kStarted;
    } else {
      idle(HartState::kSuspended, until(slot_.hart.timer_deadline()));
    }
  }

  void wait() {
    if (slot_.hart.interrupt_pending()) return;
    slot_.waits.fetch_add(1, std::memory_order_relaxed);
    slot_.hart.sleep(until(slot_.hart.timer_deadline()));
  }

  // Without a guest to execute. run(0) does what others have posted, so that sleep() ends only for what comes
  // after; what came before it shows in the state, the power or the interrupts.
  void idle(HartState state, Nanos at_most) {
    (void)slot_.hart.run(0);
    if (slot_.state.load() != state || !board_.power().on()) return;
    if (state == HartState::kSuspended && slot_.hart.interrupt_pending()) return;
    slot_.hart.sleep(at_most);
  }

  Nanos until(u64 deadline) {
    const u64 now = board_.time();
    if (deadline <= now) return kForEver;  // due, and not enabled: interrupt_pending() said so
    const u64 ticks = deadline - now;
    return ticks > kForEver.raw / kNanosPerTick ? kForEver : Nanos{ticks * kNanosPerTick};
  }

  Board& board_;
  HartSlot& slot_;
  u64 budget_ = kShortest;
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
