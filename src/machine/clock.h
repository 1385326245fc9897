// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>

#include "base/os/clock.h"
#include "base/units.h"
#include "hart/environment.h"
#include "hart/hart.h"

namespace cloister::machine {

inline constexpr u64 kNanosPerTick = 1'000'000'000 / hart::kTimebaseHz;

// A machine's time.
class Clock {
 public:
  virtual ~Clock() = default;
  // The host's: any thread. The virtual one: on the harts' thread.
  virtual Nanos since_power_on() = 0;
  virtual Nanos realtime() = 0;  // since 1970, UTC
  virtual void power_on() = 0;   // with all harts stopped

  u64 ticks() { return since_power_on().raw / kNanosPerTick; }
};

class HostClock final : public Clock {
 public:
  Nanos since_power_on() override {
    return Nanos{os::monotonic_now().raw - start_.load(std::memory_order_relaxed)};
  }
  Nanos realtime() override { return os::realtime_now(); }
  void power_on() override { start_.store(os::monotonic_now().raw, std::memory_order_relaxed); }

 private:
  std::atomic<u64> start_{os::monotonic_now().raw};
};

// Time that passes only as instructions are executed: kNanosPerInstruction for one of any hart, for they take
// turns. The wall clock starts at the same moment in every run.
class VirtualClock final : public Clock {
 public:
  // About what the interpreter needs, so that a guest's time-outs fit its speed. A tick is ten instructions.
  static constexpr u64 kNanosPerInstruction = 10;

  Nanos since_power_on() override;
  Nanos realtime() override { return Nanos{kStart.raw + since_power_on().raw}; }
  void power_on() override { base_ = latest_ = Nanos{0}; }

  // From here on the time follows what this hart executes, until end_slice().
  void begin_slice(const hart::Hart& hart);
  void end_slice();
  // All harts wait: nothing happens until then. Not backwards.
  void advance_to(Nanos time);

 private:
  static constexpr Nanos kStart{u64{1'735'689'600} * 1'000'000'000};  // 2025-01-01 00:00 UTC

  Nanos base_;
  Nanos latest_;  // what was told last: a hart that counts its block's instructions ahead must not turn time
                  // back
  const hart::Hart* running_ = nullptr;
  u64 start_ = 0;  // its instructions when the slice began
};

}  // namespace cloister::machine
