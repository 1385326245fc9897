// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <limits>
#include <type_traits>

#include "base/units.h"
#include "hart/fp_format.h"
#include "hart/fp_soft.h"
#include "hart/fp_state.h"

// The host's FP unit does the guest's arithmetic.
//
// SSE computes RISC-V's F and D exactly: same formats, same correct rounding, tininess after rounding. What
// differs is mended after the fact, off the common path: NaN payloads (RISC-V has one canonical NaN), integer
// conversions out of range, minimum and maximum, infinity times zero plus a quiet NaN. Exceptions need no
// work at all: MXCSR's sticky flags are the guest's fflags until somebody asks.
//
// The compiler must not see floating-point arithmetic, or it would fold and move it regardless of the
// rounding mode. So every operation is one instruction in `asm volatile`, and volatile asms keep their order:
// none crosses a change of MXCSR. C++ only carries bits.
namespace cloister::hart::fp::host {

inline void raise(u8 flags) { thread_state.flags |= flags; }
inline bool direct(u8 rm) { return ((thread_state.direct >> rm) & 1) != 0; }
inline bool fused_direct(u8 rm) { return ((thread_state.fused >> rm) & 1) != 0; }

// A soft operation on bare bits, rm resolved, its flags raised.
template <typename... Argument>
[[gnu::noinline]] u64 exactly(u8 rm, u64 (*operation)(Argument..., soft::Context&),
                              std::type_identity_t<Argument>... arguments) {
  soft::Context context{static_cast<Rounding>(rm == kDynamic ? thread_state.rounding : rm)};
  const u64 result = operation(arguments..., context);
  raise(context.flags);
  return result;
}

template <typename F>
u64 boxed(u64 bits) {
  return F::box(static_cast<typename F::Bits>(bits));
}

template <typename F>
typename F::Host in(u64 reg) {
  return std::bit_cast<typename F::Host>(F::unbox(reg));
}

template <typename F>
u64 out(typename F::Host value) {
  const auto bits = std::bit_cast<typename F::Bits>(value);
  return F::box(F::is_nan(bits) ? F::kCanonicalNan : bits);
}

// Shared with fp_convert.h, which ends it. The instruction for F's width, as in CLOISTER_SSE(F, "add", " %1,
// %0", outputs : inputs) for addss or addsd.
#define CLOISTER_SSE(F, name, rest, ...)        \
  if constexpr (std::is_same_v<F, Single>)      \
    asm volatile(name "ss" rest : __VA_ARGS__); \
  else                                          \
    asm volatile(name "sd" rest : __VA_ARGS__)

// The four of one shape: named as in the soft path, computed by one instruction.
#define CLOISTER_BINARY(name, instruction)                                             \
  template <typename F>                                                                \
  u64 name(u64 a, u64 b, u8 rm) {                                                      \
    if (!direct(rm)) [[unlikely]]                                                      \
      return boxed<F>(exactly<u64, u64>(rm, soft::name<F>, F::unbox(a), F::unbox(b))); \
    typename F::Host result = in<F>(a);                                                \
    CLOISTER_SSE(F, instruction, " %1, %0", "+x"(result) : "x"(in<F>(b)));             \
    return out<F>(result);                                                             \
  }
CLOISTER_BINARY(add, "add")
CLOISTER_BINARY(subtract, "sub")
CLOISTER_BINARY(multiply, "mul")
CLOISTER_BINARY(divide, "div")
#undef CLOISTER_BINARY

template <typename F>
u64 square_root(u64 a, u8 rm) {
  if (!direct(rm)) [[unlikely]]
    return boxed<F>(exactly<u64>(rm, soft::square_root<F>, F::unbox(a)));
  typename F::Host result = in<F>(a);
  CLOISTER_SSE(F, "sqrt", " %0, %0", "+x"(result) :);
  return out<F>(result);
}

// What is negated: the product, the addend.
struct Fused {
  bool product;
  bool addend;
};
inline constexpr Fused kMadd{false, false};
inline constexpr Fused kMsub{false, true};
inline constexpr Fused kNmadd{true, true};
inline constexpr Fused kNmsub{true, false};

template <typename F, Fused kNegated>
u64 fused_exactly(u64 a, u64 b, u64 c, u8 rm) {
  const u64 product = F::unbox(a) ^ (kNegated.product ? F::kSign : 0);
  const u64 addend = F::unbox(c) ^ (kNegated.addend ? F::kSign : 0);
  return boxed<F>(exactly<u64, u64, u64>(rm, soft::multiply_add<F>, product, F::unbox(b), addend));
}

// A NaN takes the soft path too: x86 does not raise invalid for infinity times zero plus a quiet NaN.
template <typename F, Fused kNegated>
u64 fused(u64 a, u64 b, u64 c, u8 rm) {
  if (!fused_direct(rm)) [[unlikely]]
    return fused_exactly<F, kNegated>(a, b, c, rm);
  typename F::Host x = in<F>(a);
  const typename F::Host y = in<F>(b), z = in<F>(c);
  if constexpr (kNegated.product && kNegated.addend) {
    CLOISTER_SSE(F, "vfnmsub213", " %2, %1, %0", "+x"(x) : "x"(y), "x"(z));
  } else if constexpr (kNegated.product) {
    CLOISTER_SSE(F, "vfnmadd213", " %2, %1, %0", "+x"(x) : "x"(y), "x"(z));
  } else if constexpr (kNegated.addend) {
    CLOISTER_SSE(F, "vfmsub213", " %2, %1, %0", "+x"(x) : "x"(y), "x"(z));
  } else {
    CLOISTER_SSE(F, "vfmadd213", " %2, %1, %0", "+x"(x) : "x"(y), "x"(z));
  }
  const auto bits = std::bit_cast<typename F::Bits>(x);
  if (F::is_nan(bits)) [[unlikely]]
    return fused_exactly<F, kNegated>(a, b, c, rm);
  return F::box(bits);
}

// -- Compare, select, classify: on bits, where RISC-V and SSE disagree most -------------------------------

// Orders as signed integers what the bits order as numbers, -0 below +0. Precondition: not NaN.
template <typename F>
i64 ordered(typename F::Bits x) {
  using Signed = std::make_signed_t<typename F::Bits>;
  const auto value = static_cast<Signed>(x);
  return value < 0 ? static_cast<Signed>(value ^ std::numeric_limits<Signed>::max()) : value;
}

template <typename F>
[[gnu::noinline]] u64 select_with_nan(typename F::Bits a, typename F::Bits b) {
  if (F::is_signalling(a) || F::is_signalling(b)) raise(kInvalid);
  if (!F::is_nan(a)) return F::box(a);
  return F::box(F::is_nan(b) ? F::kCanonicalNan : b);
}

template <typename F>
u64 minimum(u64 a, u64 b) {
  const auto x = F::unbox(a), y = F::unbox(b);
  if (F::is_nan(x) || F::is_nan(y)) [[unlikely]]
    return select_with_nan<F>(x, y);
  return F::box(ordered<F>(x) < ordered<F>(y) ? x : y);
}

template <typename F>
u64 maximum(u64 a, u64 b) {
  const auto x = F::unbox(a), y = F::unbox(b);
  if (F::is_nan(x) || F::is_nan(y)) [[unlikely]]
    return select_with_nan<F>(x, y);
  return F::box(ordered<F>(x) < ordered<F>(y) ? y : x);
}

template <typename F>
u64 equal(u64 a, u64 b) {
  bool same = false, comparable = false;
  CLOISTER_SSE(F, "ucomi", " %3, %2", "=@ccz"(same), "=@ccnp"(comparable) : "x"(in<F>(a)), "x"(in<F>(b)));
  return static_cast<u64>(same && comparable);
}

template <typename F>
u64 less(u64 a, u64 b) {
  bool above = false;
  CLOISTER_SSE(F, "comi", " %1, %2", "=@cca"(above) : "x"(in<F>(a)), "x"(in<F>(b)));
  return static_cast<u64>(above);
}

template <typename F>
u64 less_or_equal(u64 a, u64 b) {
  bool not_below = false;
  CLOISTER_SSE(F, "comi", " %1, %2", "=@ccae"(not_below) : "x"(in<F>(a)), "x"(in<F>(b)));
  return static_cast<u64>(not_below);
}

template <typename F>
u64 classify(u64 a) {
  const auto x = F::unbox(a);
  if (F::is_nan(x)) return u64{1} << (F::is_signalling(x) ? 8 : 9);
  const auto magnitude = static_cast<typename F::Bits>(x & ~F::kSign);
  constexpr auto kLeastNormal = typename F::Bits{1} << F::kFraction;
  const int kind = magnitude == 0 ? 3 : magnitude < kLeastNormal ? 2 : magnitude < F::kInfinity ? 1 : 0;
  return u64{1} << ((x & F::kSign) != 0 ? kind : 7 - kind);
}

template <typename F>
u64 with_sign(u64 a, typename F::Bits sign) {
  return F::box(static_cast<typename F::Bits>((F::unbox(a) & ~F::kSign) | (sign & F::kSign)));
}

}  // namespace cloister::hart::fp::host
