// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>

#include "base/units.h"

namespace cloister::machine {

// Why the harts stop.
enum class PowerEvent : u8 {
  kNone,
  kPowerOff,
  kFailure,  // power-off for a system failure
  kReboot,
  kFailureReboot,
  kHalted,  // nothing can happen any more
  kStop,    // from outside; lasts over restarts
};

// The machine's power. Any thread. Lock-free: the harts look at it after every slice.
class PowerSwitch {
 public:
  PowerEvent event() const {
    return stop_.load(std::memory_order_acquire) ? PowerEvent::kStop : event_.load(std::memory_order_acquire);
  }
  bool on() const { return event() == PowerEvent::kNone; }

  // The first event counts, until power_on().
  void request(PowerEvent event) {
    PowerEvent none = PowerEvent::kNone;
    event_.compare_exchange_strong(none, event, std::memory_order_acq_rel);
  }
  void stop() { stop_.store(true, std::memory_order_release); }
  // The harts stand still while it is set, whatever the event. Who sets it asks them for an exit.
  bool paused() const { return paused_.load(std::memory_order_acquire); }
  void set_paused(bool paused) { paused_.store(paused, std::memory_order_release); }
  void power_on() { event_.store(PowerEvent::kNone, std::memory_order_release); }

 private:
  std::atomic<PowerEvent> event_{PowerEvent::kNone};
  std::atomic<bool> stop_{false};
  std::atomic<bool> paused_{false};
};

}  // namespace cloister::machine
