// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <vector>

#include "jit/passes/passes.h"
#include "jit/x64/registers.h"

namespace cloister::jit::x64 {

// Where guest registers live. Registers are numbered as in passes::Ranking.
class Homes {
 public:
  // Those of a region: for the most used.
  explicit Homes(const passes::Ranking& ranking);
  // Those of a loop of the region: its registers stay where they are, and those that are without get the
  // places of what the loop does not use.
  Homes(const Homes& region, const passes::Ranking& loop);

  // Precondition of integer(), floating(): has(reg).
  bool has(u32 reg) const { return home_[reg] >= 0; }
  x86::Gp integer(u32 reg) const { return kIntegerHome[home_[reg]]; }
  x86::Xmm floating(u32 reg) const { return float_home(static_cast<u32>(home_[reg])); }
  u64 homed() const { return homed_; }  // as bits

  // The same, but for x[reg], which lives in `place`, one of the ten.
  Homes with(u8 reg, const x86::Gp& place) const;

  // Host registers that are nobody's home, of the ten.
  std::vector<x86::Gp> spare() const;
  // Who lives in the same place as x[reg] or f[reg] of `other`, as a bit; or 0.
  u64 in_place_of(const Homes& other, u32 reg) const;
  u64 lives_in(const x86::Gp& place) const;

 private:
  void put(u8 reg, i8 home);
  u64 at(bool is_float, i8 home) const;

  std::array<i8, 64> home_;
  u64 homed_ = 0;
};

}  // namespace cloister::jit::x64
