// SPDX-License-Identifier: Apache-2.0
#include "hart/fp_soft.h"

#include <bit>
#include <utility>

#include "base/check.h"

// Exact first, then rounded once.
//
// Every operation on finite numbers makes an Exact: a sign, an integer of up to 127 bits and a power of two,
// that *is* the mathematical result, or differs from it only below the last bit anybody looks at, which is
// then set
// ("sticky": it says that something non-zero follows). `pack` turns an Exact into a format, rounding in one
// place
// (`shift_rounded`) for all operations, modes, normal and subnormal results, and integers too.
//
// What comes before are the special cases, where IEEE 754 names the result: NaN, infinities, zeros.
namespace cloister::hart::fp::soft {
namespace {

struct Exact {
  bool negative = false;
  int exponent = 0;
  u128 integer = 0;  // the value is integer × 2^exponent
};

int top_bit(u128 x) {
  const auto high = static_cast<u64>(x >> 64);
  return high != 0 ? 127 - std::countl_zero(high) : 63 - std::countl_zero(static_cast<u64>(x));
}

// x >> count with the bits shifted out gathered in bit 0.
u128 shift_sticky(u128 x, int count) {
  if (count <= 0) return x;
  if (count > 127) return x != 0 ? 1 : 0;
  const u128 lost = x & ((u128{1} << count) - 1);
  return x >> count | (lost != 0 ? 1 : 0);
}

// The one place that rounds: x / 2^count, to an integer. A negative count multiplies.
u128 shift_rounded(u128 x, int count, bool negative, Rounding rounding, bool& inexact) {
  if (count <= 0) return x << -count;
  const bool all_below_half = count > 127;
  const u128 whole = all_below_half ? 0 : x >> count;
  const u128 rest = all_below_half ? x : x - (whole << count);
  const u128 half = all_below_half ? ~u128{0} : u128{1} << (count - 1);
  inexact = rest != 0;
  const bool up = rounding == kNearestEven   ? rest > half || (rest == half && (whole & 1) != 0)
                  : rounding == kNearestAway ? rest >= half
                  : rounding == kUp          ? rest != 0 && !negative
                  : rounding == kDown        ? rest != 0 && negative
                                             : false;
  return whole + (up ? 1 : 0);
}

template <typename F>
constexpr u64 kSign = F::kSign;
template <typename F>
constexpr u64 kInfinity = F::kInfinity;

template <typename F>
constexpr u64 signed_zero(bool negative) {
  return negative ? kSign<F> : 0;
}

template <typename F>
constexpr u64 signed_infinity(bool negative) {
  return signed_zero<F>(negative) | kInfinity<F>;
}

template <typename F>
u64 overflowed(bool negative, Context& context) {
  context.flags |= kOverflow | kInexact;
  const bool to_infinity = context.rounding == kNearestEven || context.rounding == kNearestAway ||
                           context.rounding == (negative ? kDown : kUp);
  return signed_infinity<F>(negative) - (to_infinity ? 0 : 1);
}

// Precondition: x.integer is not 0.
template <typename F>
u64 pack(const Exact& x, Context& context) {
  const int drop = top_bit(x.integer) - F::kFraction;  // leaves a whole significand
  const int below_normal = F::kMinExponent - (x.exponent + top_bit(x.integer));
  bool inexact = false;
  const u128 precise = shift_rounded(x.integer, drop, x.negative, context.rounding, inexact);
  // Tiny: below the least normal number even when rounded with an unbounded exponent.
  const bool tiny = below_normal > 1 || (below_normal == 1 && precise >> (F::kFraction + 1) == 0);
  if (below_normal > 0) {
    const u128 subnormal =
        shift_rounded(x.integer, drop + below_normal, x.negative, context.rounding, inexact);
    if (inexact) context.flags |= kInexact | (tiny ? kUnderflow : 0);
    return static_cast<u64>(subnormal) | signed_zero<F>(x.negative);
  }
  if (-below_normal > -2 * F::kMinExponent + 1) return overflowed<F>(x.negative, context);
  // The significand's top bit adds 1 to the exponent field; so does a carry out of it.
  const u64 bits = (static_cast<u64>(-below_normal) << F::kFraction) + static_cast<u64>(precise);
  if (bits >= kInfinity<F>) return overflowed<F>(x.negative, context);
  if (inexact) context.flags |= kInexact;
  return bits | signed_zero<F>(x.negative);
}

// An operand taken apart.
template <typename F>
struct Operand {
  explicit Operand(u64 bits)
      : negative((bits & kSign<F>) != 0),
        nan(F::is_nan(static_cast<typename F::Bits>(bits))),
        signalling(F::is_signalling(static_cast<typename F::Bits>(bits))),
        infinite((bits & ~kSign<F>) == kInfinity<F>),
        zero((bits & ~kSign<F>) == 0) {
    const int field = static_cast<int>((bits & kInfinity<F>) >> F::kFraction);
    fraction = bits & ((u64{1} << F::kFraction) - 1);
    if (field != 0) fraction |= u64{1} << F::kFraction;
    exponent = F::kMinExponent - F::kFraction + (field != 0 ? field - 1 : 0);
  }

  // With the top bit at `top`, which makes widths predictable. Precondition: finite, not zero.
  Exact exact(int top) const {
    const int shift = top - top_bit(fraction);
    return {negative, exponent - shift, u128{fraction} << shift};
  }

  bool negative, nan, signalling, infinite, zero;
  u64 fraction = 0;
  int exponent = 0;
};

template <typename F>
u64 invalid(Context& context) {
  context.flags |= kInvalid;
  return F::kCanonicalNan;
}

template <typename F, typename... Operands>
u64 nan_of(Context& context, const Operands&... operands) {
  if ((operands.signalling || ...)) context.flags |= kInvalid;
  return F::kCanonicalNan;
}

constexpr int kSumTop = 125;  // room for one carry

Exact aligned(Exact x) {
  const int shift = kSumTop - top_bit(x.integer);
  return {x.negative, x.exponent - shift, x.integer << shift};
}

// Precondition: neither is 0, and each has at most 106 significant bits: then bits fall to the sticky one
// only where the exponents differ by more than 19, and the sum keeps over 100 bits above it.
Exact sum(const Exact& x, const Exact& y) {
  Exact a = aligned(x), b = aligned(y);
  if (a.exponent < b.exponent || (a.exponent == b.exponent && a.integer < b.integer)) std::swap(a, b);
  b.integer = shift_sticky(b.integer, a.exponent - b.exponent);
  a.integer = a.negative == b.negative ? a.integer + b.integer : a.integer - b.integer;
  return a;
}

template <typename F>
u64 pack_sum(const Exact& x, const Exact& y, Context& context) {
  const Exact total = sum(x, y);
  if (total.integer == 0) return signed_zero<F>(context.rounding == kDown);
  return pack<F>(total, context);
}

// The sum of two zeros.
template <typename F>
u64 zero_sum(bool a_negative, bool b_negative, Context& context) {
  return signed_zero<F>(a_negative == b_negative ? a_negative : context.rounding == kDown);
}

// Bit by bit, from the top: the greatest root with root² <= x. Precondition: x < 2^126.
u64 integer_root(u128 x) {
  u64 root = 0;
  for (int bit = 62; bit >= 0; --bit) {
    const u64 candidate = root | u64{1} << bit;
    if (u128{candidate} * candidate <= x) root = candidate;
  }
  return root;
}

struct Range {
  u64 greatest;         // magnitude above zero
  u64 least_magnitude;  // below zero
  bool narrow;          // 32 bits, sign-extended in a register
};

Range range_of(Integer kind) {
  switch (kind) {
    case Integer::kI32:
      return {0x7fffffff, u64{1} << 31, true};
    case Integer::kU32:
      return {0xffffffff, 0, true};
    case Integer::kI64:
      return {~u64{0} >> 1, u64{1} << 63, false};
    case Integer::kU64:
      return {~u64{0}, 0, false};
  }
  CHECK(false);
}

u64 as_register(bool negative, u64 magnitude, const Range& range) {
  const u64 value = negative ? -magnitude : magnitude;
  return range.narrow ? static_cast<u64>(i64{static_cast<i32>(value)}) : value;
}

}  // namespace

template <typename F>
u64 add(u64 a, u64 b, Context& context) {
  const Operand<F> x(a), y(b);
  if (x.nan || y.nan) return nan_of<F>(context, x, y);
  if (x.infinite && y.infinite && x.negative != y.negative) return invalid<F>(context);
  if (x.infinite) return a;
  if (y.infinite) return b;
  if (x.zero && y.zero) return zero_sum<F>(x.negative, y.negative, context);
  if (x.zero) return b;
  if (y.zero) return a;
  return pack_sum<F>(x.exact(F::kFraction), y.exact(F::kFraction), context);
}

template <typename F>
u64 subtract(u64 a, u64 b, Context& context) {
  return add<F>(a, b ^ kSign<F>, context);
}

template <typename F>
u64 multiply(u64 a, u64 b, Context& context) {
  const Operand<F> x(a), y(b);
  const bool negative = x.negative != y.negative;
  if (x.nan || y.nan) return nan_of<F>(context, x, y);
  if ((x.infinite && y.zero) || (x.zero && y.infinite)) return invalid<F>(context);
  if (x.infinite || y.infinite) return signed_infinity<F>(negative);
  if (x.zero || y.zero) return signed_zero<F>(negative);
  return pack<F>({negative, x.exponent + y.exponent, u128{x.fraction} * y.fraction}, context);
}

template <typename F>
u64 divide(u64 a, u64 b, Context& context) {
  const Operand<F> x(a), y(b);
  const bool negative = x.negative != y.negative;
  if (x.nan || y.nan) return nan_of<F>(context, x, y);
  if ((x.infinite && y.infinite) || (x.zero && y.zero)) return invalid<F>(context);
  if (x.infinite) return signed_infinity<F>(negative);
  if (y.infinite || x.zero) return signed_zero<F>(negative);
  if (y.zero) {
    context.flags |= kDivideByZero;
    return signed_infinity<F>(negative);
  }
  // 127 bits by 53 at most leave 74 or more: the last can be the sticky one.
  const Exact dividend = x.exact(126);
  const u128 quotient = dividend.integer / y.fraction;
  const bool rest = dividend.integer % y.fraction != 0;
  return pack<F>({negative, dividend.exponent - y.exponent, quotient | (rest ? 1 : 0)}, context);
}

template <typename F>
u64 square_root(u64 a, Context& context) {
  const Operand<F> x(a);
  if (x.nan) return nan_of<F>(context, x);
  if (x.zero) return a;
  if (x.negative) return invalid<F>(context);
  if (x.infinite) return a;
  Exact square = x.exact(125);
  if (square.exponent % 2 != 0) {
    square.integer >>= 1;  // its low bits are 0
    square.exponent += 1;
  }
  const u64 root = integer_root(square.integer);
  const bool rest = u128{root} * root != square.integer;
  return pack<F>({false, square.exponent / 2, u128{root} | (rest ? 1 : 0)}, context);
}

template <typename F>
u64 multiply_add(u64 a, u64 b, u64 c, Context& context) {
  const Operand<F> x(a), y(b), z(c);
  const bool negative = x.negative != y.negative;
  const bool infinite = x.infinite || y.infinite;
  const bool zero = x.zero || y.zero;
  if (infinite && zero) return invalid<F>(context);
  if (x.nan || y.nan || z.nan) return nan_of<F>(context, x, y, z);
  if (infinite && z.infinite && negative != z.negative) return invalid<F>(context);
  if (infinite) return signed_infinity<F>(negative);
  if (z.infinite) return c;
  if (zero && z.zero) return zero_sum<F>(negative, z.negative, context);
  if (zero) return c;
  const Exact product{negative, x.exponent + y.exponent, u128{x.fraction} * y.fraction};
  if (z.zero) return pack<F>(product, context);
  return pack_sum<F>(product, z.exact(F::kFraction), context);
}

template <typename F>
u64 to_integer(u64 a, Integer kind, Context& context) {
  const Operand<F> x(a);
  const Range range = range_of(kind);
  const u64 limit = x.negative && !x.nan ? range.least_magnitude : range.greatest;
  const auto saturated = [&] {
    context.flags |= kInvalid;
    return as_register(x.negative && !x.nan, limit, range);
  };
  if (x.nan || x.infinite || x.exponent > 63) return saturated();
  bool inexact = false;
  const u128 magnitude = shift_rounded(x.fraction, -x.exponent, x.negative, context.rounding, inexact);
  if (magnitude > limit) return saturated();
  if (inexact) context.flags |= kInexact;
  return as_register(x.negative, static_cast<u64>(magnitude), range);
}

template <typename F>
u64 from_integer(u64 value, Integer kind, Context& context) {
  const bool is_signed = kind == Integer::kI32 || kind == Integer::kI64;
  const bool narrow = kind == Integer::kI32 || kind == Integer::kU32;
  if (narrow) value = is_signed ? static_cast<u64>(i64{static_cast<i32>(value)}) : static_cast<u32>(value);
  const bool negative = is_signed && static_cast<i64>(value) < 0;
  if (value == 0) return 0;
  const u64 magnitude = negative ? -value : value;
  return pack<F>({negative, 0, magnitude}, context);
}

template <typename To, typename From>
u64 convert(u64 a, Context& context) {
  const Operand<From> x(a);
  if (x.nan) return nan_of<To>(context, x);
  if (x.infinite) return signed_infinity<To>(x.negative);
  if (x.zero) return signed_zero<To>(x.negative);
  return pack<To>({x.negative, x.exponent, x.fraction}, context);
}

#define CLOISTER_INSTANTIATE(F)                          \
  template u64 add<F>(u64, u64, Context&);               \
  template u64 subtract<F>(u64, u64, Context&);          \
  template u64 multiply<F>(u64, u64, Context&);          \
  template u64 divide<F>(u64, u64, Context&);            \
  template u64 square_root<F>(u64, Context&);            \
  template u64 multiply_add<F>(u64, u64, u64, Context&); \
  template u64 to_integer<F>(u64, Integer, Context&);    \
  template u64 from_integer<F>(u64, Integer, Context&);
CLOISTER_INSTANTIATE(Single)
CLOISTER_INSTANTIATE(Double)
#undef CLOISTER_INSTANTIATE
template u64 convert<Single, Double>(u64, Context&);
template u64 convert<Double, Single>(u64, Context&);

}  // namespace cloister::hart::fp::soft
