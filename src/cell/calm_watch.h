// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/os/clock.h"
#include "base/units.h"

namespace cloister::cell {

// Tells whether a guest hardly runs. What is looked at often for a busy one is looked at seldom then: a
// waking costs more than what it does, and fifty cells wake on one host.
class CalmWatch {
 public:
  // Whether it ran for less than a fiftieth of the time since the last call. `run_time` is its harts' so far.
  bool look(Nanos run_time, Nanos now = os::monotonic_now()) {
    const bool calm = (run_time - run_time_).raw * 50 < (now - at_).raw;
    run_time_ = run_time;
    at_ = now;
    return calm;
  }

 private:
  Nanos run_time_;
  Nanos at_ = os::monotonic_now();
};

}  // namespace cloister::cell
