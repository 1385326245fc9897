// SPDX-License-Identifier: Apache-2.0
#include "jit/x64/homes.h"

namespace cloister::jit::x64 {

Homes::Homes(const passes::Ranking& ranking) {
  home_.fill(-1);
  for (std::size_t i = 0; i < ranking.integers.size() && i < kIntegerHomes; ++i)
    put(ranking.integers[i], static_cast<i8>(i));
  for (std::size_t i = 0; i < ranking.floats.size() && i < kFloatHomes; ++i)
    put(ranking.floats[i], static_cast<i8>(i));
}

Homes::Homes(const Homes& region, const passes::Ranking& loop) {
  home_.fill(-1);
  for (const auto* registers : {&loop.integers, &loop.floats}) {
    for (const u8 reg : *registers) {
      if (region.has(reg)) put(reg, region.home_[reg]);
    }
  }
  for (const auto* registers : {&loop.integers, &loop.floats}) {
    const bool is_float = registers == &loop.floats;
    const auto count = static_cast<i8>(is_float ? kFloatHomes : kIntegerHomes);
    i8 place = 0;
    for (const u8 reg : *registers) {
      if (has(reg)) continue;
      while (place < count && at(is_float, place) != 0) ++place;
      if (place < count) put(reg, place);
    }
  }
}

void Homes::put(u8 reg, i8 home) {
  home_[reg] = home;
  homed_ |= u64{1} << reg;
}

u64 Homes::at(bool is_float, i8 home) const {
  const u32 first = is_float ? 32 : 0;
  for (u32 reg = first; reg < first + 32; ++reg) {
    if (home_[reg] == home) return u64{1} << reg;
  }
  return 0;
}

Homes Homes::with(u8 reg, const x86::Gp& place) const {
  Homes result = *this;
  for (u32 i = 0; i < kIntegerHomes; ++i) {
    if (kIntegerHome[i] == place) result.put(reg, static_cast<i8>(i));
  }
  return result;
}

std::vector<x86::Gp> Homes::spare() const {
  std::vector<x86::Gp> result;
  for (u32 i = 0; i < kIntegerHomes; ++i) {
    if (at(false, static_cast<i8>(i)) == 0) result.push_back(kIntegerHome[i]);
  }
  return result;
}

u64 Homes::in_place_of(const Homes& other, u32 reg) const { return at(reg >= 32, other.home_[reg]); }

u64 Homes::lives_in(const x86::Gp& place) const {
  for (u32 i = 0; i < kIntegerHomes; ++i) {
    if (kIntegerHome[i] == place) return at(false, static_cast<i8>(i));
  }
  return 0;
}

}  // namespace cloister::jit::x64
