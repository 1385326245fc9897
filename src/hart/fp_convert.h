// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <limits>
#include <type_traits>

#include "hart/fp_host.h"

// Conversions among singles, doubles and integers, by the host's FP unit where it gives what RISC-V wants.
namespace cloister::hart::fp::host {

template <typename F, typename Int>
u64 to_integer_exactly(u64 a, u8 rm) {
  constexpr auto kKind =
      static_cast<soft::Integer>((sizeof(Int) == 8 ? 2 : 0) + (std::is_unsigned_v<Int> ? 1 : 0));
  return exactly<u64, soft::Integer>(rm, soft::to_integer<F>, F::unbox(a), kKind);
}

// In the current rounding mode, or truncated whatever that is.
template <typename F, typename Int>
Int convert_current(typename F::Host value) {
  Int result;
  CLOISTER_SSE(F, "cvt", "2si %1, %0", "=r"(result) : "x"(value));
  return result;
}

template <typename F, typename Int>
Int convert_truncated(typename F::Host value) {
  Int result;
  CLOISTER_SSE(F, "cvtt", "2si %1, %0", "=r"(result) : "x"(value));
  return result;
}

// Out of range or NaN, SSE gives the least integer, invalid: then the soft path says what RISC-V gives.
template <typename F, typename Int>
u64 to_signed(u64 a, u8 rm) {
  if (rm != kTowardZero && !direct(rm)) [[unlikely]]
    return to_integer_exactly<F, Int>(a, rm);
  const Int result =
      rm == kTowardZero ? convert_truncated<F, Int>(in<F>(a)) : convert_current<F, Int>(in<F>(a));
  if (result == std::numeric_limits<Int>::min()) [[unlikely]]
    return to_integer_exactly<F, Int>(a, rm);
  return static_cast<u64>(i64{result});
}

// SSE2 has signed conversions only: they serve from +0 up to 2^31 for u32 and 2^63 for u64, where they cannot
// raise a flag that RISC-V would not.
template <typename F, typename Int>
u64 to_unsigned(u64 a, u8 rm) {
  constexpr int kBias = 1 - F::kMinExponent;
  constexpr auto kLimit =
      static_cast<typename F::Bits>(u64(kBias + 8 * int{sizeof(Int)} - 1) << F::kFraction);
  const bool fits = F::unbox(a) < kLimit && (rm == kTowardZero || direct(rm));
  if (!fits) [[unlikely]]
    return to_integer_exactly<F, Int>(a, rm);
  const i64 result =
      rm == kTowardZero ? convert_truncated<F, i64>(in<F>(a)) : convert_current<F, i64>(in<F>(a));
  return static_cast<u64>(sizeof(Int) == 8 ? result : i64{static_cast<i32>(result)});
}

template <typename F>
u64 from_signed(i64 value, u8 rm) {
  if (!direct(rm)) [[unlikely]]
    return boxed<F>(
        exactly<u64, soft::Integer>(rm, soft::from_integer<F>, static_cast<u64>(value), soft::Integer::kI64));
  typename F::Host result{};
  CLOISTER_SSE(F, "cvtsi2", "q %1, %0", "+x"(result) : "r"(value));
  return out<F>(result);
}

template <typename F>
u64 from_unsigned(u64 value, u8 rm) {
  if (static_cast<i64>(value) >= 0) [[likely]]
    return from_signed<F>(static_cast<i64>(value), rm);
  return boxed<F>(exactly<u64, soft::Integer>(rm, soft::from_integer<F>, value, soft::Integer::kU64));
}

// Double to single.
inline u64 narrow(u64 a, u8 rm) {
  if (!direct(rm)) [[unlikely]]
    return boxed<Single>(exactly<u64>(rm, soft::convert<Single, Double>, a));
  float result{};
  asm volatile("cvtsd2ss %1, %0" : "+x"(result) : "x"(in<Double>(a)));
  return out<Single>(result);
}

// Single to double: always exact.
inline u64 widen(u64 a) {
  double result{};
  asm volatile("cvtss2sd %1, %0" : "+x"(result) : "x"(in<Single>(a)));
  return out<Double>(result);
}

#undef CLOISTER_SSE

}  // namespace cloister::hart::fp::host
