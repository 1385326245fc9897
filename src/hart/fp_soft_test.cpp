// SPDX-License-Identifier: Apache-2.0
#include "hart/fp_soft.h"

#include <gtest/gtest.h>

#include <vector>

// Expectations worked out by hand from IEEE 754 and the F and D chapters of the manual. That the host's FP
// agrees over millions of operands is fp_test.cpp's part.
namespace cloister::hart::fp {
namespace {

constexpr u32 kOne = 0x3f800000;
constexpr u32 kMax = 0x7f7fffff;
constexpr u32 kInf = 0x7f800000;
constexpr u32 kNan = 0x7fc00000;
constexpr u32 kSignalling = 0x7f800001;
constexpr u32 kLeastNormal = 0x00800000;
constexpr u32 kLeast = 0x00000001;
constexpr u32 kMinus = 0x80000000;

constexpr Rounding kAll[] = {kNearestEven, kTowardZero, kDown, kUp, kNearestAway};

struct Outcome {
  u64 bits;
  u8 flags;
  bool operator==(const Outcome&) const = default;
};

void PrintTo(const Outcome& x, std::ostream* to) {
  *to << std::hex << "0x" << x.bits << " flags " << int{x.flags};
}

template <typename... Argument>
Outcome run(Rounding rounding, u64 (*operation)(Argument..., soft::Context&),
            std::type_identity_t<Argument>... a) {
  soft::Context context{rounding};
  const u64 bits = operation(a..., context);
  return {bits, context.flags};
}

Outcome add(u32 a, u32 b, Rounding rounding = kNearestEven) {
  return run<u64, u64>(rounding, soft::add<Single>, a, b);
}
Outcome multiply(u32 a, u32 b, Rounding rounding = kNearestEven) {
  return run<u64, u64>(rounding, soft::multiply<Single>, a, b);
}
Outcome divide(u32 a, u32 b, Rounding rounding = kNearestEven) {
  return run<u64, u64>(rounding, soft::divide<Single>, a, b);
}
Outcome root(u64 a, Rounding rounding = kNearestEven) {
  return run<u64>(rounding, soft::square_root<Double>, a);
}
Outcome fused(u32 a, u32 b, u32 c, Rounding rounding = kNearestEven) {
  return run<u64, u64, u64>(rounding, soft::multiply_add<Single>, a, b, c);
}
Outcome integer(u32 a, soft::Integer kind, Rounding rounding) {
  return run<u64, soft::Integer>(rounding, soft::to_integer<Single>, a, kind);
}

TEST(SoftFp, OnePlusAQuarterUnitRoundsByTheMode) {
  const u32 quarter_unit = 0x33000000;  // 2^-25
  EXPECT_EQ(add(kOne, quarter_unit, kNearestEven), (Outcome{kOne, kInexact}));
  EXPECT_EQ(add(kOne, quarter_unit, kTowardZero), (Outcome{kOne, kInexact}));
  EXPECT_EQ(add(kOne, quarter_unit, kDown), (Outcome{kOne, kInexact}));
  EXPECT_EQ(add(kOne, quarter_unit, kUp), (Outcome{kOne + 1, kInexact}));
  EXPECT_EQ(add(kOne, quarter_unit, kNearestAway), (Outcome{kOne, kInexact}));
}

TEST(SoftFp, ATieGoesToEvenOrAway) {
  const u32 half_unit = 0x33800000;  // 2^-24
  EXPECT_EQ(add(kOne, half_unit, kNearestEven), (Outcome{kOne, kInexact}));
  EXPECT_EQ(add(kOne, half_unit, kNearestAway), (Outcome{kOne + 1, kInexact}));
  EXPECT_EQ(add(kOne + 1, half_unit, kNearestEven), (Outcome{kOne + 2, kInexact}));
  EXPECT_EQ(add(kMinus | kOne, kMinus | half_unit, kNearestAway), (Outcome{kMinus | (kOne + 1), kInexact}));
}

TEST(SoftFp, ADifferenceOfEqualsIsPlusZeroExceptDownward) {
  for (const Rounding rounding : kAll) {
    EXPECT_EQ(add(kOne, kMinus | kOne, rounding), (Outcome{rounding == kDown ? kMinus : 0u, 0}));
    EXPECT_EQ(add(0, kMinus, rounding), (Outcome{rounding == kDown ? kMinus : 0u, 0}));
    EXPECT_EQ(add(kMinus, kMinus, rounding), (Outcome{kMinus, 0}));
  }
}

TEST(SoftFp, OverflowGivesInfinityOrTheGreatestByTheMode) {
  const u8 flags = kOverflow | kInexact;
  EXPECT_EQ(add(kMax, kMax, kNearestEven), (Outcome{kInf, flags}));
  EXPECT_EQ(add(kMax, kMax, kNearestAway), (Outcome{kInf, flags}));
  EXPECT_EQ(add(kMax, kMax, kUp), (Outcome{kInf, flags}));
  EXPECT_EQ(add(kMax, kMax, kDown), (Outcome{kMax, flags}));
  EXPECT_EQ(add(kMax, kMax, kTowardZero), (Outcome{kMax, flags}));
  EXPECT_EQ(multiply(kMax, kMinus | kMax, kUp), (Outcome{kMinus | kMax, flags}));
  EXPECT_EQ(multiply(kMax, kMinus | kMax, kDown), (Outcome{kMinus | kInf, flags}));
}

TEST(SoftFp, ASubnormalResultUnderflowsOnlyWhenInexact) {
  const u32 half = 0x3f000000;
  EXPECT_EQ(multiply(kLeastNormal, half), (Outcome{kLeastNormal >> 1, 0}));
  EXPECT_EQ(multiply(kLeast, half), (Outcome{0, kUnderflow | kInexact}));
  EXPECT_EQ(multiply(kLeast, half, kUp), (Outcome{kLeast, kUnderflow | kInexact}));
  EXPECT_EQ(multiply(kLeast, half, kNearestAway), (Outcome{kLeast, kUnderflow | kInexact}));
}

// (1 + 2^-23)(1 - 2^-23 + …) style products just below the least normal: rounded to 24 bits with unbounded
// exponent they reach 2^-126 or do not, and only that decides.
TEST(SoftFp, TininessIsFoundAfterRounding) {
  const u32 just_below_one = 0x3f7fffff;                     // 1 - 2^-24
  const u32 least_normal_and_one = kLeastNormal + 1;         // 2^-126 (1 + 2^-23)
  EXPECT_EQ(multiply(least_normal_and_one, just_below_one),  // 2^-126 (1 + 2^-24 - 2^-47): not tiny
            (Outcome{kLeastNormal, kInexact}));
  EXPECT_EQ(multiply(kLeastNormal, just_below_one),  // 2^-126 (1 - 2^-24): 24 bits hold it, so tiny
            (Outcome{kLeastNormal, kInexact | kUnderflow}));
  EXPECT_EQ(multiply(kLeastNormal, just_below_one, kUp), (Outcome{kLeastNormal, kInexact | kUnderflow}));
}

TEST(SoftFp, NansAreCanonicalAndOnlySignallingOnesInvalid) {
  EXPECT_EQ(add(0xffc12345, kOne), (Outcome{kNan, 0}));
  EXPECT_EQ(add(kSignalling, kOne), (Outcome{kNan, kInvalid}));
  EXPECT_EQ(add(kInf, kMinus | kInf), (Outcome{kNan, kInvalid}));
  EXPECT_EQ(multiply(kInf, 0), (Outcome{kNan, kInvalid}));
  EXPECT_EQ(divide(0, 0), (Outcome{kNan, kInvalid}));
  EXPECT_EQ(divide(kInf, kInf), (Outcome{kNan, kInvalid}));
}

TEST(SoftFp, OnlyAFiniteNumberDividedByZeroRaisesDivideByZero) {
  EXPECT_EQ(divide(kOne, kMinus), (Outcome{kMinus | kInf, kDivideByZero}));
  EXPECT_EQ(divide(kInf, 0), (Outcome{kInf, 0}));
  EXPECT_EQ(divide(kOne, kInf), (Outcome{0, 0}));
}

TEST(SoftFp, AThirdRoundsByTheMode) {
  const u32 three = 0x40400000;
  EXPECT_EQ(divide(kOne, three, kNearestEven), (Outcome{0x3eaaaaab, kInexact}));
  EXPECT_EQ(divide(kOne, three, kTowardZero), (Outcome{0x3eaaaaaa, kInexact}));
  EXPECT_EQ(divide(kOne, three, kNearestAway), (Outcome{0x3eaaaaab, kInexact}));
}

TEST(SoftFp, SquareRoots) {
  EXPECT_EQ(root(0x4010000000000000), (Outcome{0x4000000000000000, 0}));         // 4
  EXPECT_EQ(root(0x4000000000000000), (Outcome{0x3ff6a09e667f3bcd, kInexact}));  // 2
  EXPECT_EQ(root(0x4000000000000000, kDown), (Outcome{0x3ff6a09e667f3bcc, kInexact}));
  EXPECT_EQ(root(0x0000000000000001), (Outcome{0x1e60000000000000, 0}));         // 2^-1074
  EXPECT_EQ(root(0x8000000000000000), (Outcome{0x8000000000000000, 0}));         // -0
  EXPECT_EQ(root(0xbff0000000000000), (Outcome{0x7ff8000000000000, kInvalid}));  // -1
  EXPECT_EQ(root(0x7ff0000000000000), (Outcome{0x7ff0000000000000, 0}));
}

TEST(SoftFp, AFusedMultiplyAddRoundsOnce) {
  // (1 + 2^-23)² - (1 + 2^-22) = 2^-46, which two roundings would lose.
  EXPECT_EQ(fused(kOne + 1, kOne + 1, kMinus | (kOne + 2)), (Outcome{0x28800000, 0}));
  EXPECT_EQ(fused(kOne, kOne, kMinus | kOne, kDown), (Outcome{kMinus, 0}));
  EXPECT_EQ(fused(kMax, kMax, kMinus | kInf), (Outcome{kMinus | kInf, 0}));
}

TEST(SoftFp, InfinityTimesZeroIsInvalidWhateverIsAdded) {
  EXPECT_EQ(fused(kInf, 0, kNan), (Outcome{kNan, kInvalid}));
  EXPECT_EQ(fused(0, kMinus | kInf, kOne), (Outcome{kNan, kInvalid}));
  EXPECT_EQ(fused(kInf, kOne, kMinus | kInf), (Outcome{kNan, kInvalid}));
  EXPECT_EQ(fused(kOne, kNan, kOne), (Outcome{kNan, 0}));
}

TEST(SoftFp, HalvesToIntegersByTheMode) {
  const u32 two_and_a_half = 0x40200000;
  const u64 expected[] = {2, 2, 2, 3, 3};
  for (const Rounding rounding : kAll) {
    EXPECT_EQ(integer(two_and_a_half, soft::Integer::kI32, rounding),
              (Outcome{expected[rounding], kInexact}));
  }
}

TEST(SoftFp, IntegersOutOfRangeSaturateAndAreInvalidNotInexact) {
  using enum soft::Integer;
  const u32 minus_one = kMinus | kOne;
  EXPECT_EQ(integer(kNan, kI32, kTowardZero), (Outcome{0x7fffffff, kInvalid}));
  EXPECT_EQ(integer(0xffc00000, kI32, kTowardZero), (Outcome{0x7fffffff, kInvalid}));
  EXPECT_EQ(integer(0xffc00000, kU32, kTowardZero), (Outcome{~u64{0}, kInvalid}));
  EXPECT_EQ(integer(kMinus | kInf, kI32, kTowardZero), (Outcome{0xffffffff80000000, kInvalid}));
  EXPECT_EQ(integer(kInf, kU64, kTowardZero), (Outcome{~u64{0}, kInvalid}));
  EXPECT_EQ(integer(minus_one, kU64, kTowardZero), (Outcome{0, kInvalid}));
  EXPECT_EQ(integer(0x4f000000, kI32, kTowardZero), (Outcome{0x7fffffff, kInvalid}));   // 2^31
  EXPECT_EQ(integer(0xcf000000, kI32, kTowardZero), (Outcome{0xffffffff80000000, 0}));  // -2^31
  EXPECT_EQ(integer(0xdf000000, kI64, kTowardZero), (Outcome{u64{1} << 63, 0}));        // -2^63
  EXPECT_EQ(integer(0x5f800000, kU64, kTowardZero), (Outcome{~u64{0}, kInvalid}));      // 2^64
}

TEST(SoftFp, ANegativeFractionFitsAnUnsignedIntegerWhenItRoundsToZero) {
  const u32 minus_half = 0xbf000000;
  EXPECT_EQ(integer(minus_half, soft::Integer::kU32, kTowardZero), (Outcome{0, kInexact}));
  EXPECT_EQ(integer(minus_half, soft::Integer::kU32, kNearestEven), (Outcome{0, kInexact}));
  EXPECT_EQ(integer(minus_half, soft::Integer::kU32, kNearestAway), (Outcome{0, kInvalid}));
  EXPECT_EQ(integer(minus_half, soft::Integer::kU32, kDown), (Outcome{0, kInvalid}));
}

TEST(SoftFp, IntegersToFloatingPoint) {
  const auto single = [](u64 value, soft::Integer kind) {
    return run<u64, soft::Integer>(kNearestEven, soft::from_integer<Single>, value, kind);
  };
  EXPECT_EQ(single(0, soft::Integer::kI64), (Outcome{0, 0}));
  EXPECT_EQ(single(~u64{0}, soft::Integer::kI64), (Outcome{kMinus | kOne, 0}));
  EXPECT_EQ(single(~u64{0}, soft::Integer::kU32), (Outcome{0x4f800000, kInexact}));
  EXPECT_EQ(single(~u64{0}, soft::Integer::kU64), (Outcome{0x5f800000, kInexact}));
  EXPECT_EQ(single(u64{1} << 63, soft::Integer::kI64), (Outcome{0xdf000000, 0}));
}

TEST(SoftFp, BetweenSingleAndDouble) {
  const auto narrow = [](u64 a, Rounding rounding = kNearestEven) {
    return run<u64>(rounding, soft::convert<Single, Double>, a);
  };
  const auto widen = [](u64 a) { return run<u64>(kNearestEven, soft::convert<Double, Single>, a); };
  EXPECT_EQ(narrow(0x3ff0000000000001), (Outcome{kOne, kInexact}));
  EXPECT_EQ(narrow(0x3ff0000000000001, kUp), (Outcome{kOne + 1, kInexact}));
  EXPECT_EQ(narrow(0x7ff0000000000001), (Outcome{kNan, kInvalid}));
  EXPECT_EQ(narrow(0x7fe0000000000000), (Outcome{kInf, kOverflow | kInexact}));
  EXPECT_EQ(narrow(0x0000000000000001), (Outcome{0, kUnderflow | kInexact}));
  EXPECT_EQ(widen(kLeast), (Outcome{0x36a0000000000000, 0}));
  EXPECT_EQ(widen(kSignalling), (Outcome{0x7ff8000000000000, kInvalid}));
}

}  // namespace
}  // namespace cloister::hart::fp
