// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <optional>

#include "jit/passes/passes.h"

namespace cloister::jit::passes {

using MaybeSum = std::optional<ir::Sum>;

// What x registers hold on the way through a round of a loop, as sums of what registers held at its head; or
// nothing where that is no such sum.
class Registers {
 public:
  Registers();

  const MaybeSum& operator[](u8 reg) const { return values_[reg]; }
  void set(u8 reg, const MaybeSum& value) { values_[reg] = value; }
  void forget(u32 registers);
  void execute(const ir::Step& step);

 private:
  MaybeSum evaluate(const ir::Step& step) const;
  MaybeSum scaled(u8 reg, i32 shift) const;

  std::array<MaybeSum, 32> values_;
};

// The sum that `value` is a round later, where `end` is what the registers hold at a round's end.
MaybeSum a_round_later(const ir::Sum& value, const Registers& end);

}  // namespace cloister::jit::passes
