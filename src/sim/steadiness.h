// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "policy/memory/tax.h"
#include "sim/duration.h"

namespace cloister::sim {

// Watches one target for swinging to and fro although nothing happened that would explain it. A swing is a
// move of more than the tolerance against the direction of the last one, within the window.
class Steadiness {
 public:
  // The tolerance is a part of the size: sampling alone moves targets by a few standard errors.
  Steadiness(policy::memory::Units tolerance, Nanos window) : tolerance_(tolerance), window_(window) {}

  // Something happened: what was seen before says nothing about what comes.
  void excuse(policy::memory::Units target, Nanos now);
  // True when the target has swung kMostSwings times or more without an excuse.
  bool swings(policy::memory::Units target, Nanos now);

  static constexpr int kMostSwings = 3;

 private:
  enum class Direction : u8 { kNone, kUp, kDown };

  policy::memory::Units tolerance_;
  Nanos window_;
  policy::memory::Units turn_{};  // where the last direction began, or how far it went
  Direction direction_ = Direction::kNone;
  Nanos turned_{};
  int count_ = 0;
};

}  // namespace cloister::sim
