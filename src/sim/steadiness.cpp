// SPDX-License-Identifier: Apache-2.0
#include "sim/steadiness.h"

namespace cloister::sim {

using policy::memory::Units;

void Steadiness::excuse(Units target, Nanos now) {
  turn_ = target;
  turned_ = now;
  direction_ = Direction::kNone;
  count_ = 0;
}

bool Steadiness::swings(Units target, Nanos now) {
  const bool up = target > turn_;
  const Units distance = up ? target - turn_ : turn_ - target;
  const Direction direction = up ? Direction::kUp : Direction::kDown;
  if (direction == direction_) {
    turn_ = target;  // further the same way
  } else if (distance > tolerance_) {
    count_ = direction_ != Direction::kNone && now - turned_ <= window_ ? count_ + 1 : 0;
    direction_ = direction;
    turn_ = target;
    turned_ = now;
  }
  return count_ >= kMostSwings;
}

}  // namespace cloister::sim
