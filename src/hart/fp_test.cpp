// SPDX-License-Identifier: Apache-2.0
#include "hart/fp.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <iterator>
#include <string>

#include "base/random.h"

namespace cloister::hart::fp {
namespace {

constexpr u64 kBox = 0xffffffff'00000000;
constexpr u64 kOne = kBox | 0x3f800000;
constexpr u64 kTwo = kBox | 0x40000000;
constexpr u64 kNan = kBox | 0x7fc00000;
constexpr u64 kSignalling = kBox | 0x7f800001;
constexpr u64 kMinusZero = kBox | 0x80000000;
constexpr u64 kPlusZero = kBox;
constexpr u64 kInf = kBox | 0x7f800000;

u32 mxcsr() {
  u32 value;
  asm volatile("stmxcsr %0" : "=m"(value));
  return value;
}

// What `operation` gives, and the flags that it raises.
struct Outcome {
  u64 value;
  u8 flags;
  bool operator==(const Outcome&) const = default;
};

void PrintTo(const Outcome& x, std::ostream* to) {
  *to << std::hex << "0x" << x.value << " flags " << int{x.flags};
}

template <typename Operation>
Outcome outcome(Operation operation) {
  take_flags();
  const u64 value = operation();
  return {value, take_flags()};
}

class Fp : public testing::Test {
 protected:
  u8 fflags_ = 0;
  HostFp host_{kNearestEven, fflags_};
};

TEST_F(Fp, ARegisterWithoutASinglesBoxReadsAsNan) {
  const u64 unboxed = 0x3f800000;
  EXPECT_EQ(fadd_s(unboxed, kOne, kDynamic), kNan);
  EXPECT_EQ(fsgnj_s(unboxed, kMinusZero), kNan | 0x80000000);
  EXPECT_EQ(fmin_s(unboxed, kOne), kOne);
  EXPECT_EQ(fclass_s(unboxed), u64{1} << 9);
  EXPECT_EQ(fmv_x_w(unboxed), unboxed);
  EXPECT_EQ(fmv_x_w(0x80000000), 0xffffffff'80000000);
  EXPECT_EQ(fmv_w_x(0x1234567'3f800000), kOne);
}

TEST_F(Fp, MinimumAndMaximumPreferNumbersAndOrderZeros) {
  EXPECT_EQ(outcome([] { return fmin_s(kPlusZero, kMinusZero); }), (Outcome{kMinusZero, 0}));
  EXPECT_EQ(outcome([] { return fmin_s(kMinusZero, kPlusZero); }), (Outcome{kMinusZero, 0}));
  EXPECT_EQ(outcome([] { return fmax_s(kMinusZero, kPlusZero); }), (Outcome{kPlusZero, 0}));
  EXPECT_EQ(outcome([] { return fmax_s(kNan, kOne); }), (Outcome{kOne, 0}));
  EXPECT_EQ(outcome([] { return fmax_s(kOne, kSignalling); }), (Outcome{kOne, kInvalid}));
  EXPECT_EQ(outcome([] { return fmin_s(kNan | 5, kNan | 6); }), (Outcome{kNan, 0}));
  EXPECT_EQ(outcome([] { return fmin_s(kNan, kSignalling); }), (Outcome{kNan, kInvalid}));
  EXPECT_EQ(outcome([] { return fmin_d(0xbff0000000000000, 0xc000000000000000); }),
            (Outcome{0xc000000000000000, 0}));
}

TEST_F(Fp, ComparisonsAreQuietForEqualityAndSignallingForOrder) {
  EXPECT_EQ(outcome([] { return feq_s(kPlusZero, kMinusZero); }), (Outcome{1, 0}));
  EXPECT_EQ(outcome([] { return feq_s(kNan, kNan); }), (Outcome{0, 0}));
  EXPECT_EQ(outcome([] { return feq_s(kOne, kSignalling); }), (Outcome{0, kInvalid}));
  EXPECT_EQ(outcome([] { return flt_s(kOne, kTwo); }), (Outcome{1, 0}));
  EXPECT_EQ(outcome([] { return flt_s(kTwo, kOne); }), (Outcome{0, 0}));
  EXPECT_EQ(outcome([] { return flt_s(kOne, kOne); }), (Outcome{0, 0}));
  EXPECT_EQ(outcome([] { return fle_s(kOne, kOne); }), (Outcome{1, 0}));
  EXPECT_EQ(outcome([] { return fle_s(kTwo, kOne); }), (Outcome{0, 0}));
  EXPECT_EQ(outcome([] { return flt_s(kOne, kNan); }), (Outcome{0, kInvalid}));
  EXPECT_EQ(outcome([] { return fle_s(kNan, kOne); }), (Outcome{0, kInvalid}));
}

TEST_F(Fp, TenClasses) {
  const u32 in_order[] = {0xff800000, 0xbf800000, 0x80000001, 0x80000000, 0x00000000,
                          0x007fffff, 0x00800000, 0x7f800000, 0x7f800001, 0x7fc00000};
  for (u32 i = 0; i < std::size(in_order); ++i) EXPECT_EQ(fclass_s(kBox | in_order[i]), u64{1} << i);
  EXPECT_EQ(fclass_d(0x000fffffffffffff), u64{1} << 5);
  EXPECT_EQ(fclass_d(0xfff0000000000000), u64{1} << 0);
}

TEST_F(Fp, SignsAreInjected) {
  EXPECT_EQ(fsgnj_s(kOne, kMinusZero), kOne | 0x80000000);
  EXPECT_EQ(fsgnjn_s(kOne, kMinusZero), kOne);
  EXPECT_EQ(fsgnjx_s(kOne | 0x80000000, kMinusZero), kOne);
  EXPECT_EQ(fsgnjn_d(0x3ff0000000000000, 0), 0xbff0000000000000);
}

TEST_F(Fp, AnInvalidConversionIsNotInexactToo) {
  EXPECT_EQ(outcome([] { return fcvt_wu_s(kBox | 0xbfc00000, kTowardZero); }),
            (Outcome{0, kInvalid}));  // -1.5
  EXPECT_EQ(outcome([] { return fcvt_wu_d(0x41efffffffffffff, kDynamic); }), (Outcome{~u64{0}, kInvalid}));
  EXPECT_EQ(outcome([] { return fcvt_w_d(0x41dfffffffe00000, kDynamic); }), (Outcome{0x7fffffff, kInvalid}));
  EXPECT_EQ(outcome([] { return fcvt_w_d(0x41dfffffffd00000, kDynamic); }), (Outcome{0x7fffffff, kInexact}));
  EXPECT_EQ(outcome([] { return fcvt_wu_s(kBox | 0x4f7fffff, kTowardZero); }),
            (Outcome{0xffffffff'ffffff00, 0}));
}

TEST_F(Fp, AStaticRoundingModeBeatsTheCurrentOne) {
  const u64 tiny = kBox | 0x33000000;
  set_rounding(kDown);
  EXPECT_EQ(outcome([=] { return fadd_s(kOne, tiny, kDynamic); }), (Outcome{kOne, kInexact}));
  EXPECT_EQ(outcome([=] { return fadd_s(kOne, tiny, kUp); }), (Outcome{kOne + 1, kInexact}));
  EXPECT_EQ(outcome([=] { return fadd_s(kOne, tiny, kDynamic); }), (Outcome{kOne, kInexact}));
  set_rounding(kNearestAway);
  EXPECT_EQ(outcome([=] { return fcvt_w_s(kBox | 0x40200000, kDynamic); }), (Outcome{3, kInexact}));
}

TEST(HostFp, GivesTheHostItsUnitBackAndTheGuestItsFlags) {
  const u32 before = mxcsr();
  u8 fflags = kOverflow;
  {
    HostFp lent(kUp, fflags);
    EXPECT_EQ(fdiv_s(kOne, kPlusZero, kDynamic), kInf);
    fmin_s(kOne, kSignalling);
  }
  EXPECT_EQ(mxcsr(), before);
  EXPECT_EQ(fflags, kOverflow | kDivideByZero | kInvalid);
}

TEST(HostFp, APauseKeepsHostAndGuestApart) {
  const u32 before = mxcsr();
  u8 fflags = 0;
  {
    HostFp lent(kUp, fflags);
    fdiv_s(kOne, kPlusZero, kDynamic);
    {
      HostFp::Pause pause(lent);
      EXPECT_EQ(mxcsr(), before);
      volatile double third = 3.0;
      third = 1.0 / third;  // inexact, in the host
    }
    EXPECT_EQ(fadd_s(kOne, kBox | 0x33000000, kDynamic), kOne + 1);  // rounded upward still
    EXPECT_EQ(take_flags(), kInexact);
  }
  EXPECT_EQ(fflags, kDivideByZero);
}

class WatchedFlags : public testing::Test {
 protected:
  // As a guest that reads its flags over and over.
  void watch(u8 fflags) {
    fflags_ = fflags;
    while (!thread_state.watched) note_read(fflags_);
  }
  u8 fflags_ = 0;
  HostFp host_{kNearestEven, fflags_};
};

TEST_F(WatchedFlags, ANewFlagEndsTheWatchAndCounts) {
  watch(kInvalid);
  EXPECT_EQ(fadd_s(kOne, kOne, kDynamic), kTwo);
  EXPECT_TRUE(thread_state.watched);
  EXPECT_EQ(fdiv_s(kOne, kPlusZero, kDynamic), kInf);
  EXPECT_FALSE(thread_state.watched);
  EXPECT_EQ(take_flags(), kDivideByZero);
}

TEST_F(WatchedFlags, OneThatIsThereAlreadyDoesNot) {
  watch(kInexact);
  EXPECT_EQ(fadd_s(kOne, kBox | 0x33000000, kDynamic), kOne);
  EXPECT_TRUE(thread_state.watched);
}

// The host traps for each tiny result, and counts only those that are inexact too.
TEST_F(WatchedFlags, AnExactUnderflowIsNone) {
  constexpr u64 kLeast = kBox | 1;
  watch(0);
  EXPECT_EQ(fmul_s(kLeast, kOne, kDynamic), kLeast);
  EXPECT_EQ(take_flags(), 0);
}

TEST_F(WatchedFlags, TheirEndIsWhereTheyAreTaken) {
  watch(0);
  take_flags();
  EXPECT_FALSE(thread_state.watched);
  EXPECT_EQ(outcome([] { return fdiv_s(kOne, kPlusZero, kDynamic); }), (Outcome{kInf, kDivideByZero}));
}

TEST(HostFp, WithoutItTheResultsAreTheSame) {
  EXPECT_EQ(outcome([] { return fdiv_s(kOne, kPlusZero, kDynamic); }), (Outcome{kInf, kDivideByZero}));
  EXPECT_EQ(outcome([] { return fmadd_s(kOne, kOne, kOne, kUp); }), (Outcome{kTwo, 0}));
}

// -- The host against the soft path -----------------------------------------------------------------------

// Operands where things happen: specials, neighbours of specials, few-bit patterns, exponents near each
// other.
template <typename F>
u64 operand(Random& random) {
  constexpr int kExponentBits = F::kWidth - 1 - F::kFraction;
  const u64 fraction_mask = (u64{1} << F::kFraction) - 1;
  const u64 sign = random.one_in(2) ? u64{F::kSign} : 0;
  u64 exponent = random.below(u64{1} << kExponentBits);
  u64 fraction = random.next() & fraction_mask;
  if (random.one_in(3)) exponent = (u64{1} << (kExponentBits - 1)) - 1 + random.below(140) - 70;
  if (random.one_in(8)) exponent = 0;
  if (random.one_in(12)) exponent = (u64{1} << kExponentBits) - 1;
  if (random.one_in(4)) fraction = (u64{1} << random.below(F::kFraction)) - random.below(3);
  if (random.one_in(8)) fraction = 0;
  exponent &= (u64{1} << kExponentBits) - 1;
  return sign | exponent << F::kFraction | (fraction & fraction_mask);
}

u64 seed() {
  const char* text = std::getenv("CLOISTER_SEED");
  return text != nullptr ? std::strtoull(text, nullptr, 0) : 20240607;
}

struct Operands {
  u64 a, b, c;
};

template <typename F, typename Host, typename Soft>
void agree(const char* name, Host on_host, Soft in_software) {
  SCOPED_TRACE(fmt::format("{} of {} bits, CLOISTER_SEED={}", name, F::kWidth, seed()));
  Random random(seed());
  for (u32 i = 0; i < 120'000; ++i) {
    const Operands x{operand<F>(random), operand<F>(random), operand<F>(random)};
    const auto rounding = static_cast<Rounding>(i % 4);
    set_rounding(rounding);
    const Outcome hosts = outcome([&] { return on_host(x); });
    soft::Context context{rounding};
    const u64 value = in_software(x, context);
    ASSERT_EQ(hosts, (Outcome{value, context.flags}))
        << fmt::format("rounding {} of {:#x} {:#x} {:#x}", int{rounding}, x.a, x.b, x.c);
  }
}

template <typename F>
void arithmetic_agrees() {
  using soft::Context;
  const auto in = [](u64 bits) { return host::boxed<F>(bits); };
  const auto u = host::boxed<F>;
  agree<F>(
      "add", [&](Operands x) { return host::add<F>(in(x.a), in(x.b), kDynamic); },
      [&](Operands x, Context& c) { return u(soft::add<F>(x.a, x.b, c)); });
  agree<F>(
      "subtract", [&](Operands x) { return host::subtract<F>(in(x.a), in(x.b), kDynamic); },
      [&](Operands x, Context& c) { return u(soft::subtract<F>(x.a, x.b, c)); });
  agree<F>(
      "multiply", [&](Operands x) { return host::multiply<F>(in(x.a), in(x.b), kDynamic); },
      [&](Operands x, Context& c) { return u(soft::multiply<F>(x.a, x.b, c)); });
  agree<F>(
      "divide", [&](Operands x) { return host::divide<F>(in(x.a), in(x.b), kDynamic); },
      [&](Operands x, Context& c) { return u(soft::divide<F>(x.a, x.b, c)); });
  agree<F>(
      "square root", [&](Operands x) { return host::square_root<F>(in(x.a), kDynamic); },
      [&](Operands x, Context& c) { return u(soft::square_root<F>(x.a, c)); });
}

template <typename F, host::Fused kNegated>
void fused_agrees() {
  agree<F>(
      "fused multiply-add",
      [&](Operands x) {
        return host::fused<F, kNegated>(host::boxed<F>(x.a), host::boxed<F>(x.b), host::boxed<F>(x.c),
                                        kDynamic);
      },
      [&](Operands x, soft::Context& c) {
        const u64 product = x.a ^ (kNegated.product ? u64{F::kSign} : 0);
        const u64 addend = x.c ^ (kNegated.addend ? u64{F::kSign} : 0);
        return host::boxed<F>(soft::multiply_add<F>(product, x.b, addend, c));
      });
}

template <typename F>
void conversions_agree() {
  using soft::Context, soft::Integer;
  const auto in = host::boxed<F>;
  const auto to = [](Integer kind) {
    return [kind](Operands x, Context& c) { return soft::to_integer<F>(x.a, kind, c); };
  };
  const auto from = [](Integer kind) {
    return [kind](Operands x, Context& c) { return host::boxed<F>(soft::from_integer<F>(x.a, kind, c)); };
  };
  agree<F>(
      "to i32", [&](Operands x) { return host::to_signed<F, i32>(in(x.a), kDynamic); }, to(Integer::kI32));
  agree<F>(
      "to u32", [&](Operands x) { return host::to_unsigned<F, u32>(in(x.a), kDynamic); }, to(Integer::kU32));
  agree<F>(
      "to i64", [&](Operands x) { return host::to_signed<F, i64>(in(x.a), kDynamic); }, to(Integer::kI64));
  agree<F>(
      "to u64", [&](Operands x) { return host::to_unsigned<F, u64>(in(x.a), kDynamic); }, to(Integer::kU64));
  agree<F>(
      "from i64", [&](Operands x) { return host::from_signed<F>(static_cast<i64>(x.a), kDynamic); },
      from(Integer::kI64));
  agree<F>(
      "from u64", [&](Operands x) { return host::from_unsigned<F>(x.a, kDynamic); }, from(Integer::kU64));
}

TEST_F(Fp, TheHostComputesSinglesExactly) { arithmetic_agrees<Single>(); }
TEST_F(Fp, TheHostComputesDoublesExactly) { arithmetic_agrees<Double>(); }

TEST_F(Fp, TheHostFusesSinglesExactly) {
  fused_agrees<Single, host::kMadd>();
  fused_agrees<Single, host::kMsub>();
  fused_agrees<Single, host::kNmadd>();
  fused_agrees<Single, host::kNmsub>();
}

TEST_F(Fp, TheHostFusesDoublesExactly) {
  fused_agrees<Double, host::kMadd>();
  fused_agrees<Double, host::kMsub>();
  fused_agrees<Double, host::kNmadd>();
  fused_agrees<Double, host::kNmsub>();
}

TEST_F(Fp, TheHostConvertsSinglesExactly) { conversions_agree<Single>(); }
TEST_F(Fp, TheHostConvertsDoublesExactly) { conversions_agree<Double>(); }

TEST_F(Fp, TheHostNarrowsAndWidensExactly) {
  agree<Double>(
      "narrow", [](Operands x) { return host::narrow(x.a, kDynamic); },
      [](Operands x, soft::Context& c) {
        return Single::box(static_cast<u32>(soft::convert<Single, Double>(x.a, c)));
      });
  agree<Single>(
      "widen", [](Operands x) { return host::widen(Single::box(static_cast<u32>(x.a))); },
      [](Operands x, soft::Context& c) { return soft::convert<Double, Single>(x.a, c); });
}

TEST_F(Fp, TruncationNeedsNoChangeOfTheRoundingMode) {
  agree<Double>(
      "truncate", [](Operands x) { return fcvt_l_d(x.a, kTowardZero); },
      [](Operands x, soft::Context& c) {
        c.rounding = kTowardZero;
        return soft::to_integer<Double>(x.a, soft::Integer::kI64, c);
      });
}

TEST_F(Fp, AHostWithoutFusedMultiplyAddGetsTheSoftOne) {
  const u64 third = 0x3fd5555555555555;
  const u64 expected = fmadd_d(third, third, third, kDynamic);
  thread_state.fused = 0;
  EXPECT_EQ(fmadd_d(third, third, third, kDynamic), expected);
}

}  // namespace
}  // namespace cloister::hart::fp
