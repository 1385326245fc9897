// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/units.h"
#include "hart/fp_format.h"

// F and D arithmetic in integers: exact, in all five rounding modes, on any host. What the host's own FP
// cannot do (round to nearest away, a rounding mode other than the current one, a fused multiply-add on an
// old host) is done here; and it is what the host's FP is tested against.
//
// Operands and results are bare bits of the format F (Single or Double), not NaN-boxed registers.
namespace cloister::hart::fp::soft {

struct Context {
  Rounding rounding = kNearestEven;  // never kDynamic
  u8 flags = 0;                      // operations add to it
};

template <typename F>
u64 add(u64 a, u64 b, Context& context);
template <typename F>
u64 subtract(u64 a, u64 b, Context& context);
template <typename F>
u64 multiply(u64 a, u64 b, Context& context);
template <typename F>
u64 divide(u64 a, u64 b, Context& context);
template <typename F>
u64 square_root(u64 a, Context& context);
// a × b + c with one rounding. Infinity times zero is invalid even when c is a quiet NaN.
template <typename F>
u64 multiply_add(u64 a, u64 b, u64 c, Context& context);

// To an integer of RISC-V's four kinds, sign-extended from 32 bits. Out of range saturates, NaN gives the
// greatest value; both are invalid.
enum class Integer : u8 { kI32, kU32, kI64, kU64 };
template <typename F>
u64 to_integer(u64 a, Integer kind, Context& context);
template <typename F>
u64 from_integer(u64 value, Integer kind, Context& context);

template <typename To, typename From>
u64 convert(u64 a, Context& context);

}  // namespace cloister::hart::fp::soft
