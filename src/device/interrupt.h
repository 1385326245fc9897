// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/units.h"

namespace cloister::device {

// Takes the level of interrupt sources. Any thread. Takes LockRank::kInterrupts.
class InterruptController {
 public:
  virtual ~InterruptController() = default;
  virtual void set_level(u32 source, bool high) = 0;
};

// One device's wire to the controller.
class InterruptLine {
 public:
  InterruptLine(InterruptController& controller, u32 source) : controller_(&controller), source_(source) {}
  void set(bool high) { controller_->set_level(source_, high); }
  u32 source() const { return source_; }

 private:
  InterruptController* controller_;
  u32 source_;
};

}  // namespace cloister::device
