// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/check.h"
#include "base/units.h"

namespace cloister {

// Seeded randomness that gives the same sequence on every host: xoshiro256** seeded by splitmix64
// (Blackman and Vigna, 2018). Not for secrets. Not thread safe.
class Random {
 public:
  explicit constexpr Random(u64 seed) {
    for (u64& word : state_) word = split_mix(seed);
  }

  constexpr u64 next() {
    const u64 result = rotate(state_[1] * 5, 7) * 9;
    const u64 t = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= t;
    state_[3] = rotate(state_[3], 45);
    return result;
  }

  // Uniform in [0, bound), by Lemire's multiplication. Precondition: bound > 0.
  constexpr u64 below(u64 bound) {
    DCHECK(bound > 0);
    return static_cast<u64>((u128{next()} * bound) >> 64);
  }

  constexpr bool one_in(u64 n) { return below(n) == 0; }

 private:
  static constexpr u64 rotate(u64 x, int k) { return (x << k) | (x >> (64 - k)); }
  static constexpr u64 split_mix(u64& seed) {
    u64 z = (seed += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }

  u64 state_[4] = {};
};

}  // namespace cloister
