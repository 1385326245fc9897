// SPDX-License-Identifier: Apache-2.0
#include "isa/cases.h"

namespace cloister::isa_tests {
namespace {

// A single in its box.
constexpr u64 box(u32 bits) { return 0xffffffff'00000000 | bits; }

constexpr u64 kZero = box(0), kMinusZero = box(0x80000000);
constexpr u64 kHalf = box(0x3f000000), kOne = box(0x3f800000), kTwo = box(0x40000000),
              kThree = box(0x40400000);
constexpr u64 kFour = box(0x40800000), kFive = box(0x40a00000), kSix = box(0x40c00000),
              kSeven = box(0x40e00000);
constexpr u64 kMinusOne = box(0xbf800000), kMinusTwo = box(0xc0000000);
constexpr u64 kMinusFive = box(0xc0a00000), kMinusSeven = box(0xc0e00000);
constexpr u64 kOneAndHalf = box(0x3fc00000), kMinusOneAndHalf = box(0xbfc00000),
              kTwoAndHalf = box(0x40200000);
constexpr u64 kInf = box(0x7f800000), kMinusInf = box(0xff800000);
constexpr u64 kNan = box(0x7fc00000);       // the canonical one
constexpr u64 kOtherNan = box(0xffc12345);  // quiet, with a payload
constexpr u64 kSignalling = box(0x7f800001);
constexpr u64 kUnboxed = 0x00000000'3f800000;  // counts as the canonical NaN
constexpr u64 kGreatest = box(0x7f7fffff);
constexpr u64 kLeastNormal = box(0x00800000), kGreatestSubnormal = box(0x007fffff), kLeast = box(0x00000001);
constexpr u64 kAboveOne = box(0x3f800001), kBelowOne = box(0x3f7fffff);
constexpr u64 kTiny24 = box(0x33800000), kTiny25 = box(0x33000000);  // 2^-24, 2^-25

constexpr u64 kMax32 = 0x7fffffff, kMin32 = 0xffffffff'80000000;
constexpr u64 kMax64 = ~u64{0} >> 1, kMin64 = kMax64 + 1, kOnes = ~u64{0};

constexpr FloatCase kCases[] = {
    // Ties go to even, away, or by the directed mode. An exact zero is +0, but -0 when rounding down.
    {Op::fadd_s, kRne, kOne, kTwo, 0, kThree, 0},
    {Op::fadd_s, kRne, kGreatest, kGreatest, 0, kInf, kOf | kNx},
    {Op::fadd_s, kRtz, kGreatest, kGreatest, 0, kGreatest, kOf | kNx},
    {Op::fadd_s, kRdn, kGreatest, kGreatest, 0, kGreatest, kOf | kNx},
    {Op::fadd_s, kRne, kInf, kMinusInf, 0, kNan, kNv},
    {Op::fadd_s, kRne, kOne, kMinusOne, 0, kZero, 0},
    {Op::fadd_s, kRdn, kOne, kMinusOne, 0, kMinusZero, 0},
    {Op::fadd_s, kRne, kMinusZero, kMinusZero, 0, kMinusZero, 0},
    {Op::fadd_s, kRne, kOne, kTiny24, 0, kOne, kNx},
    {Op::fadd_s, kRne, kAboveOne, kTiny24, 0, box(0x3f800002), kNx},
    {Op::fadd_s, kRmm, kOne, kTiny24, 0, kAboveOne, kNx},
    {Op::fadd_s, kRup, kOne, kTiny25, 0, kAboveOne, kNx},
    {Op::fadd_s, kRdn, kOne, kTiny25, 0, kOne, kNx},
    {Op::fadd_s, kRtz, kOne, kTiny25, 0, kOne, kNx},
    {Op::fadd_s, kRne, kUnboxed, kOne, 0, kNan, 0},
    {Op::fadd_s, kRne, kOne, kUnboxed, 0, kNan, 0},
    {Op::fadd_s, kRne, kSignalling, kOne, 0, kNan, kNv},
    {Op::fadd_s, kRne, kOtherNan, kOne, 0, kNan, 0},
    {Op::fadd_s, kRne, kLeast, kLeast, 0, box(2), 0},
    {Op::fsub_s, kRne, kThree, kTwo, 0, kOne, 0},
    {Op::fsub_s, kRne, kOne, kOne, 0, kZero, 0},
    {Op::fsub_s, kRdn, kOne, kOne, 0, kMinusZero, 0},
    {Op::fsub_s, kRne, kInf, kInf, 0, kNan, kNv},
    {Op::fsub_s, kRne, kOne, kTiny25, 0, kOne, kNx},
    {Op::fsub_s, kRtz, kOne, kTiny25, 0, kBelowOne, kNx},
    {Op::fsub_s, kRne, kLeastNormal, kLeast, 0, kGreatestSubnormal, 0},
    {Op::fmul_s, kRne, kTwo, kThree, 0, kSix, 0},
    {Op::fmul_s, kRne, kGreatest, kTwo, 0, kInf, kOf | kNx},
    {Op::fmul_s, kRup, box(0xff7fffff), kTwo, 0, box(0xff7fffff), kOf | kNx},
    {Op::fmul_s, kRne, kLeast, kHalf, 0, kZero, kUf | kNx},
    {Op::fmul_s, kRmm, kLeast, kHalf, 0, kLeast, kUf | kNx},
    {Op::fmul_s, kRup, kLeast, kHalf, 0, kLeast, kUf | kNx},
    {Op::fmul_s, kRne, kZero, kInf, 0, kNan, kNv},
    {Op::fmul_s, kRne, kMinusOne, kZero, 0, kMinusZero, 0},
    // Exactly 2^-126 - 2^-150, which 24 bits can hold: tiny, though it rounds to the least normal number.
    {Op::fmul_s, kRne, kLeastNormal, kBelowOne, 0, kLeastNormal, kUf | kNx},
    {Op::fmul_s, kRne, kLeastNormal, kHalf, 0, box(0x00400000), 0},
    {Op::fdiv_s, kRne, kSix, kTwo, 0, kThree, 0},
    {Op::fdiv_s, kRne, kOne, kThree, 0, box(0x3eaaaaab), kNx},
    {Op::fdiv_s, kRtz, kOne, kThree, 0, box(0x3eaaaaaa), kNx},
    {Op::fdiv_s, kRup, kMinusOne, kThree, 0, box(0xbeaaaaaa), kNx},
    {Op::fdiv_s, kRdn, kMinusOne, kThree, 0, box(0xbeaaaaab), kNx},
    {Op::fdiv_s, kRne, kOne, kZero, 0, kInf, kDz},
    {Op::fdiv_s, kRne, kMinusOne, kZero, 0, kMinusInf, kDz},
    {Op::fdiv_s, kRne, kZero, kZero, 0, kNan, kNv},
    {Op::fdiv_s, kRne, kInf, kInf, 0, kNan, kNv},
    {Op::fdiv_s, kRne, kInf, kZero, 0, kInf, 0},
    {Op::fdiv_s, kRne, kOne, kMinusInf, 0, kMinusZero, 0},
    {Op::fsqrt_s, kRne, kFour, 0, 0, kTwo, 0},
    {Op::fsqrt_s, kRne, kTwo, 0, 0, box(0x3fb504f3), kNx},
    {Op::fsqrt_s, kRup, kTwo, 0, 0, box(0x3fb504f4), kNx},
    {Op::fsqrt_s, kRne, kMinusOne, 0, 0, kNan, kNv},
    {Op::fsqrt_s, kRne, kMinusZero, 0, 0, kMinusZero, 0},
    {Op::fsqrt_s, kRne, kInf, 0, 0, kInf, 0},
    {Op::fsqrt_s, kRne, kSignalling, 0, 0, kNan, kNv},

    // Fused: one rounding. Infinity times zero is invalid even when a quiet NaN is added.
    {Op::fmadd_s, kRne, kTwo, kThree, kOne, kSeven, 0},
    {Op::fmadd_s, kRne, kInf, kZero, kNan, kNan, kNv},
    {Op::fmadd_s, kRne, kInf, kOne, kMinusInf, kNan, kNv},
    {Op::fmadd_s, kRne, kOne, kZero, kMinusZero, kZero, 0},
    {Op::fmadd_s, kRdn, kOne, kZero, kMinusZero, kMinusZero, 0},
    {Op::fmadd_s, kRne, kOtherNan, kOne, kOne, kNan, 0},
    {Op::fmadd_s, kRne, kOne, kOne, kUnboxed, kNan, 0},
    {Op::fmadd_s, kRne, kGreatest, kTwo, kMinusInf, kMinusInf, 0},
    {Op::fmadd_s, kRmm, kOne, kOne, kTiny24, kAboveOne, kNx},
    {Op::fmsub_s, kRne, kTwo, kThree, kOne, kFive, 0},
    {Op::fmsub_s, kRne, kAboveOne, kAboveOne, box(0x3f800002), box(0x28800000), 0},
    {Op::fnmsub_s, kRne, kTwo, kThree, kOne, kMinusFive, 0},
    {Op::fnmadd_s, kRne, kTwo, kThree, kOne, kMinusSeven, 0},
    {Op::fnmadd_s, kRne, kOne, kZero, kZero, kMinusZero, 0},
    // 2^-126 - 2^-159. Tiny is what would be below 2^-126 after rounding to 24 bits: to nearest it is not.
    {Op::fnmsub_s, kRne, kLeast, box(0x3a800000), kLeastNormal, kLeastNormal, kNx},
    {Op::fnmsub_s, kRtz, kLeast, box(0x3a800000), kLeastNormal, kGreatestSubnormal, kUf | kNx},

    // Signs are moved as they are: no flags, even of a signalling NaN. What is not boxed is the NaN.
    {Op::fsgnj_s, 0, kOne, kMinusTwo, 0, kMinusOne, 0},
    {Op::fsgnj_s, 0, kMinusOne, kTwo, 0, kOne, 0},
    {Op::fsgnj_s, 0, kUnboxed, kOne, 0, kNan, 0},
    {Op::fsgnj_s, 0, kOtherNan, kOtherNan, 0, kOtherNan, 0},
    {Op::fsgnjn_s, 0, kOne, kOne, 0, kMinusOne, 0},
    {Op::fsgnjn_s, 0, kOne, kMinusOne, 0, kOne, 0},
    {Op::fsgnjx_s, 0, kMinusOne, kMinusOne, 0, kOne, 0},
    {Op::fsgnjx_s, 0, kSignalling, kSignalling, 0, kSignalling, 0},

    // -0 is less than +0. A number beats a NaN; a signalling one is invalid.
    {Op::fmin_s, 0, kMinusZero, kZero, 0, kMinusZero, 0},
    {Op::fmin_s, 0, kZero, kMinusZero, 0, kMinusZero, 0},
    {Op::fmin_s, 0, kOne, kMinusTwo, 0, kMinusTwo, 0},
    {Op::fmin_s, 0, kNan, kOne, 0, kOne, 0},
    {Op::fmin_s, 0, kOne, kUnboxed, 0, kOne, 0},
    {Op::fmin_s, 0, kSignalling, kOne, 0, kOne, kNv},
    {Op::fmin_s, 0, kOtherNan, kOtherNan, 0, kNan, 0},
    {Op::fmin_s, 0, kSignalling, kNan, 0, kNan, kNv},
    {Op::fmax_s, 0, kMinusZero, kZero, 0, kZero, 0},
    {Op::fmax_s, 0, kZero, kMinusZero, 0, kZero, 0},
    {Op::fmax_s, 0, kOne, kTwo, 0, kTwo, 0},
    {Op::fmax_s, 0, kOne, kSignalling, 0, kOne, kNv},
    {Op::fmax_s, 0, kNan, kMinusInf, 0, kMinusInf, 0},

    // Out of range saturates, and is invalid but not inexact; NaN counts as the greatest.
    {Op::fcvt_w_s, kRne, kOneAndHalf, 0, 0, 2, kNx},
    {Op::fcvt_w_s, kRtz, kOneAndHalf, 0, 0, 1, kNx},
    {Op::fcvt_w_s, kRdn, kOneAndHalf, 0, 0, 1, kNx},
    {Op::fcvt_w_s, kRup, kOneAndHalf, 0, 0, 2, kNx},
    {Op::fcvt_w_s, kRne, kTwoAndHalf, 0, 0, 2, kNx},
    {Op::fcvt_w_s, kRmm, kTwoAndHalf, 0, 0, 3, kNx},
    {Op::fcvt_w_s, kRdn, kMinusOneAndHalf, 0, 0, kOnes - 1, kNx},
    {Op::fcvt_w_s, kRtz, kMinusOneAndHalf, 0, 0, kOnes, kNx},
    {Op::fcvt_w_s, kRne, kNan, 0, 0, kMax32, kNv},
    {Op::fcvt_w_s, kRne, kUnboxed, 0, 0, kMax32, kNv},
    {Op::fcvt_w_s, kRne, kInf, 0, 0, kMax32, kNv},
    {Op::fcvt_w_s, kRne, kMinusInf, 0, 0, kMin32, kNv},
    {Op::fcvt_w_s, kRne, box(0x4f000000), 0, 0, kMax32, kNv},
    {Op::fcvt_w_s, kRne, box(0xcf000000), 0, 0, kMin32, 0},
    {Op::fcvt_w_s, kRne, kMinusZero, 0, 0, 0, 0},
    {Op::fcvt_wu_s, kRne, kMinusOne, 0, 0, 0, kNv},
    {Op::fcvt_wu_s, kRtz, box(0xbf000000), 0, 0, 0, kNx},
    {Op::fcvt_wu_s, kRdn, box(0xbf666666), 0, 0, 0, kNv},
    {Op::fcvt_wu_s, kRne, kNan, 0, 0, kOnes, kNv},
    {Op::fcvt_wu_s, kRne, box(0x4f800000), 0, 0, kOnes, kNv},
    {Op::fcvt_wu_s, kRne, box(0x4f7fffff), 0, 0, 0xffffffff'ffffff00, 0},
    {Op::fcvt_l_s, kRne, box(0x5f000000), 0, 0, kMax64, kNv},
    {Op::fcvt_l_s, kRne, box(0xdf000000), 0, 0, kMin64, 0},
    {Op::fcvt_l_s, kRne, kNan, 0, 0, kMax64, kNv},
    {Op::fcvt_l_s, kRup, kOneAndHalf, 0, 0, 2, kNx},
    {Op::fcvt_lu_s, kRne, kMinusOne, 0, 0, 0, kNv},
    {Op::fcvt_lu_s, kRne, box(0x5f800000), 0, 0, kOnes, kNv},
    {Op::fcvt_lu_s, kRne, box(0x5f000000), 0, 0, kMin64, 0},
    {Op::fcvt_lu_s, kRne, kSignalling, 0, 0, kOnes, kNv},

    // Bits as they lie in the register, and what kind of number they are.
    {Op::fmv_x_w, 0, 0x12345678'80000001, 0, 0, 0xffffffff'80000001, 0},
    {Op::fmv_x_w, 0, kOne, 0, 0, 0x3f800000, 0},
    {Op::fmv_w_x, 0, 0x12345678'80000001, 0, 0, box(0x80000001), 0},
    {Op::fclass_s, 0, kMinusInf, 0, 0, 1 << 0, 0},
    {Op::fclass_s, 0, kMinusOne, 0, 0, 1 << 1, 0},
    {Op::fclass_s, 0, box(0x80000001), 0, 0, 1 << 2, 0},
    {Op::fclass_s, 0, kMinusZero, 0, 0, 1 << 3, 0},
    {Op::fclass_s, 0, kZero, 0, 0, 1 << 4, 0},
    {Op::fclass_s, 0, kGreatestSubnormal, 0, 0, 1 << 5, 0},
    {Op::fclass_s, 0, kLeastNormal, 0, 0, 1 << 6, 0},
    {Op::fclass_s, 0, kInf, 0, 0, 1 << 7, 0},
    {Op::fclass_s, 0, kSignalling, 0, 0, 1 << 8, 0},
    {Op::fclass_s, 0, kOtherNan, 0, 0, 1 << 9, 0},
    {Op::fclass_s, 0, kUnboxed, 0, 0, 1 << 9, 0},

    // feq is quiet, flt and fle signal.
    {Op::feq_s, 0, kOne, kOne, 0, 1, 0},
    {Op::feq_s, 0, kMinusZero, kZero, 0, 1, 0},
    {Op::feq_s, 0, kNan, kNan, 0, 0, 0},
    {Op::feq_s, 0, kSignalling, kOne, 0, 0, kNv},
    {Op::feq_s, 0, kUnboxed, kUnboxed, 0, 0, 0},
    {Op::flt_s, 0, kOne, kTwo, 0, 1, 0},
    {Op::flt_s, 0, kMinusZero, kZero, 0, 0, 0},
    {Op::flt_s, 0, kMinusInf, kInf, 0, 1, 0},
    {Op::flt_s, 0, kNan, kOne, 0, 0, kNv},
    {Op::fle_s, 0, kOne, kOne, 0, 1, 0},
    {Op::fle_s, 0, kZero, kMinusZero, 0, 1, 0},
    {Op::fle_s, 0, kTwo, kOne, 0, 0, 0},
    {Op::fle_s, 0, kOne, kNan, 0, 0, kNv},

    // From integers; of a word the upper half does not count.
    {Op::fcvt_s_w, kRne, kOnes, 0, 0, kMinusOne, 0},
    {Op::fcvt_s_w, kRne, 0x12345678'00000001, 0, 0, kOne, 0},
    {Op::fcvt_s_w, kRne, 0x01000001, 0, 0, box(0x4b800000), kNx},
    {Op::fcvt_s_w, kRup, 0x01000001, 0, 0, box(0x4b800001), kNx},
    {Op::fcvt_s_w, kRmm, 0x01000001, 0, 0, box(0x4b800001), kNx},
    {Op::fcvt_s_wu, kRne, kOnes, 0, 0, box(0x4f800000), kNx},
    {Op::fcvt_s_wu, kRtz, 0xffffffff, 0, 0, box(0x4f7fffff), kNx},
    {Op::fcvt_s_wu, kRne, 0, 0, 0, kZero, 0},
    {Op::fcvt_s_l, kRne, kMin64, 0, 0, box(0xdf000000), 0},
    {Op::fcvt_s_l, kRne, kMax64, 0, 0, box(0x5f000000), kNx},
    {Op::fcvt_s_l, kRtz, kMax64, 0, 0, box(0x5effffff), kNx},
    {Op::fcvt_s_lu, kRne, kOnes, 0, 0, box(0x5f800000), kNx},
    {Op::fcvt_s_lu, kRtz, kOnes, 0, 0, box(0x5f7fffff), kNx},
    {Op::fcvt_s_lu, kRne, kMin64, 0, 0, box(0x5f000000), 0},
};

}  // namespace

std::span<const FloatCase> single_cases() { return kCases; }

}  // namespace cloister::isa_tests
