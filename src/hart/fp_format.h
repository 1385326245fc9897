// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>

#include "base/units.h"

// The two formats of RISC-V's F and D extensions, and how they lie in a 64-bit register.
namespace cloister::hart::fp {

// Rounding modes as `frm` and an instruction's rm field number them.
enum Rounding : u8 {
  kNearestEven = 0,
  kTowardZero = 1,
  kDown = 2,
  kUp = 3,
  kNearestAway = 4,  // "RMM": ties to the greater magnitude
  kDynamic = 7,      // rm only: as frm says
};

// Bits of `fflags`.
enum Flag : u8 { kInexact = 1, kUnderflow = 2, kOverflow = 4, kDivideByZero = 8, kInvalid = 16 };

template <typename BitsType, typename HostType, int kFractionBits>
struct Format {
  using Bits = BitsType;
  using Host = HostType;  // carries bits to and from an SSE register; never computed with in C++
  static constexpr int kFraction = kFractionBits;
  static constexpr int kWidth = 8 * int{sizeof(Bits)};
  static constexpr int kMinExponent = -((1 << (kWidth - kFraction - 2)) - 2);  // of the least normal number
  static constexpr Bits kSign = Bits{1} << (kWidth - 1);
  static constexpr Bits kQuiet = Bits{1} << (kFraction - 1);
  static constexpr Bits kInfinity = static_cast<Bits>(static_cast<Bits>(~kSign >> kFraction) << kFraction);
  static constexpr Bits kCanonicalNan = kInfinity | kQuiet;

  static constexpr bool is_nan(Bits x) { return static_cast<Bits>(x & ~kSign) > kInfinity; }
  static constexpr bool is_signalling(Bits x) { return is_nan(x) && (x & kQuiet) == 0; }
};

struct Single : Format<u32, float, 23> {
  // A register that holds no single (its upper half is not all ones) reads as the canonical NaN.
  static constexpr Bits unbox(u64 reg) {
    return reg >= 0xffffffff'00000000 ? static_cast<u32>(reg) : kCanonicalNan;
  }
  static constexpr u64 box(Bits bits) { return bits | 0xffffffff'00000000; }
};

struct Double : Format<u64, double, 52> {
  static constexpr Bits unbox(u64 reg) { return reg; }
  static constexpr u64 box(Bits bits) { return bits; }
};

static_assert(Single::kCanonicalNan == 0x7fc00000 && Single::kMinExponent == -126);
static_assert(Double::kCanonicalNan == 0x7ff80000'00000000 && Double::kMinExponent == -1022);

}  // namespace cloister::hart::fp
