// SPDX-License-Identifier: Apache-2.0
#include "machine/clock.h"

#include <algorithm>

#include "base/check.h"

namespace cloister::machine {

Nanos VirtualClock::since_power_on() {
  Nanos now = base_;
  if (running_ != nullptr) now += Nanos{(running_->instructions() - start_) * kNanosPerInstruction};
  return latest_ = std::max(latest_, now);
}

void VirtualClock::begin_slice(const hart::Hart& hart) {
  CHECK(running_ == nullptr);
  running_ = &hart;
  start_ = hart.instructions();
}

void VirtualClock::end_slice() {
  CHECK(running_ != nullptr);
  base_ = since_power_on();
  running_ = nullptr;
}

void VirtualClock::advance_to(Nanos time) {
  CHECK(running_ == nullptr);
  base_ = std::max(base_, time);
}

}  // namespace cloister::machine
