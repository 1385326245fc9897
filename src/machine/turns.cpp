// SPDX-License-Identifier: Apache-2.0
//
// One thread, the same run each time
//
// The harts take turns in the order of their numbers. How many instructions a turn has is drawn from the
// seed, so that other seeds give other interleavings; short turns are as likely as long ones, because races
// show when a hart is stopped at a bad place. A turn ends at its hart's timer deadline, so timers are exact.
// Time is a count of instructions (VirtualClock). When all harts wait, it jumps to the nearest deadline; when
// there is none, the guest has ended.
#include "machine/turns.h"

#include <algorithm>

#include "base/check.h"

namespace cloister::machine {
namespace {

constexpr u64 kNever = ~u64{0};

}  // namespace

void Turns::round() {
  last_round_.clear();
  if (!each_hart_once()) skip_ahead();
  if (board_.alarm_deadline() <= clock_.since_power_on()) board_.check_alarm();
}

// False: none had anything to do.
bool Turns::each_hart_once() {
  bool worked = false;
  for (u32 id = 0; id < board_.harts().count() && board_.power().on(); ++id) worked |= turn(id);
  board_.after_slice();
  return worked;
}

bool Turns::turn(u32 id) {
  HartSlot& slot = board_.harts()[id];
  switch (slot.state.load()) {
    case HartState::kStopped:
      return false;
    case HartState::kStartPending:
      waiting_[id] = false;
      board_.harts().begin(slot);
      return true;
    case HartState::kSuspended:
      if (!slot.hart.interrupt_pending()) return false;
      slot.state = HartState::kStarted;
      return true;
    case HartState::kStarted:
      break;
  }
  if (waiting_[id] && !slot.hart.interrupt_pending()) return false;
  slice(slot);
  return true;
}

void Turns::slice(HartSlot& slot) {
  const u64 before = slot.hart.instructions();
  const Nanos began = clock_.since_power_on();
  clock_.begin_slice(slot.hart);
  const u64 most = budget(slot);
  const hart::Exit exit = slot.hart.run(most);
  clock_.end_slice();
  if (board_.is_profiled()) slot.samples.add(slot.hart.pc(), slot.hart.supervisor());
  const u64 executed = slot.hart.instructions() - before;
  last_round_.push_back({slot.hart.id(), began, most, executed, exit});
  slot.running.fetch_add(executed * VirtualClock::kNanosPerInstruction, std::memory_order_relaxed);
  // A wait with a bound ends by itself: that hart gave way for this turn only.
  waiting_[slot.hart.id()] = exit == hart::Exit::kWait && slot.hart.wait_bound() == Nanos{kNever};
  if (waiting_[slot.hart.id()]) slot.waits.fetch_add(1, std::memory_order_relaxed);
}

u64 Turns::budget(const HartSlot& slot) {
  const u64 drawn = lengths_.shortest + random_.below(lengths_.longest - lengths_.shortest);
  const u64 now = clock_.ticks();
  const u64 deadline = slot.hart.timer_deadline();
  if (deadline <= now) return drawn;
  constexpr u64 kPerTick = kNanosPerTick / VirtualClock::kNanosPerInstruction;
  return std::min(drawn, std::min(deadline - now, lengths_.longest) * kPerTick);
}

void Turns::skip_ahead() {
  const u64 next = std::min(next_timer(), board_.alarm_deadline().raw);
  if (next == kNever) return board_.end(PowerEvent::kHalted);
  clock_.advance_to(Nanos{next});
}

// Of the harts that are not stopped; in time since power-on. A deadline that has passed wakes nobody: its
// interrupt is not enabled.
u64 Turns::next_timer() {
  const u64 now = clock_.ticks();
  u64 next = kNever;
  for (u32 id = 0; id < board_.harts().count(); ++id) {
    const HartSlot& slot = board_.harts()[id];
    const u64 deadline = slot.hart.timer_deadline();
    if (slot.state.load() != HartState::kStopped && deadline > now && deadline < kNever / kNanosPerTick)
      next = std::min(next, deadline * kNanosPerTick);
  }
  return next;
}

}  // namespace cloister::machine
