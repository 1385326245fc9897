// SPDX-License-Identifier: Apache-2.0
#include "isa/cases.h"

namespace cloister::isa_tests {
namespace {

constexpr u64 kSign = u64{1} << 63;
constexpr u64 kZero = 0, kMinusZero = kSign;
constexpr u64 kHalf = 0x3fe0000000000000, kOne = 0x3ff0000000000000, kTwo = 0x4000000000000000;
constexpr u64 kThree = 0x4008000000000000, kFour = 0x4010000000000000, kFive = 0x4014000000000000;
constexpr u64 kSix = 0x4018000000000000, kSeven = 0x401c000000000000;
constexpr u64 kMinusOne = kSign | kOne, kMinusTwo = kSign | kTwo, kMinusFive = kSign | kFive;
constexpr u64 kMinusSeven = kSign | kSeven;
constexpr u64 kOneAndHalf = 0x3ff8000000000000, kTwoAndHalf = 0x4004000000000000;
constexpr u64 kInf = 0x7ff0000000000000, kMinusInf = kSign | kInf;
constexpr u64 kNan = 0x7ff8000000000000;  // the canonical one
constexpr u64 kOtherNan = 0xfff8123456789abc, kSignalling = 0x7ff0000000000001;
constexpr u64 kGreatest = 0x7fefffffffffffff;
constexpr u64 kLeastNormal = 0x0010000000000000, kGreatestSubnormal = 0x000fffffffffffff, kLeast = 1;
constexpr u64 kAboveOne = kOne + 1, kBelowOne = kOne - 1;
constexpr u64 kTiny53 = 0x3ca0000000000000, kTiny54 = 0x3c90000000000000;  // 2^-53, 2^-54

constexpr u64 box(u32 bits) { return 0xffffffff'00000000 | bits; }
constexpr u64 kMax32 = 0x7fffffff, kMin32 = 0xffffffff'80000000;
constexpr u64 kMax64 = ~u64{0} >> 1, kMin64 = kMax64 + 1, kOnes = ~u64{0};

constexpr FloatCase kCases[] = {
    {Op::fadd_d, kRne, kOne, kTwo, 0, kThree, 0},
    {Op::fadd_d, kRne, kGreatest, kGreatest, 0, kInf, kOf | kNx},
    {Op::fadd_d, kRtz, kGreatest, kGreatest, 0, kGreatest, kOf | kNx},
    {Op::fadd_d, kRne, kInf, kMinusInf, 0, kNan, kNv},
    {Op::fadd_d, kRne, kOne, kMinusOne, 0, kZero, 0},
    {Op::fadd_d, kRdn, kOne, kMinusOne, 0, kMinusZero, 0},
    {Op::fadd_d, kRne, kOne, kTiny53, 0, kOne, kNx},
    {Op::fadd_d, kRmm, kOne, kTiny53, 0, kAboveOne, kNx},
    {Op::fadd_d, kRup, kOne, kTiny54, 0, kAboveOne, kNx},
    {Op::fadd_d, kRne, kSignalling, kOne, 0, kNan, kNv},
    {Op::fadd_d, kRne, kOtherNan, kOne, 0, kNan, 0},
    {Op::fadd_d, kRne, kOne, box(0x3f800000), 0, kNan, 0},  // a boxed single is a quiet NaN
    {Op::fsub_d, kRne, kThree, kTwo, 0, kOne, 0},
    {Op::fsub_d, kRdn, kOne, kOne, 0, kMinusZero, 0},
    {Op::fsub_d, kRne, kInf, kInf, 0, kNan, kNv},
    {Op::fsub_d, kRtz, kOne, kTiny54, 0, kBelowOne, kNx},
    {Op::fsub_d, kRne, kLeastNormal, kLeast, 0, kGreatestSubnormal, 0},
    {Op::fmul_d, kRne, kTwo, kThree, 0, kSix, 0},
    {Op::fmul_d, kRne, kGreatest, kTwo, 0, kInf, kOf | kNx},
    {Op::fmul_d, kRne, kLeast, kHalf, 0, kZero, kUf | kNx},
    {Op::fmul_d, kRup, kLeast, kHalf, 0, kLeast, kUf | kNx},
    {Op::fmul_d, kRmm, kLeast, kHalf, 0, kLeast, kUf | kNx},
    {Op::fmul_d, kRne, kZero, kMinusInf, 0, kNan, kNv},
    {Op::fmul_d, kRne, kMinusOne, kZero, 0, kMinusZero, 0},
    {Op::fmul_d, kRne, kLeastNormal, kBelowOne, 0, kLeastNormal, kUf | kNx},
    {Op::fdiv_d, kRne, kSix, kTwo, 0, kThree, 0},
    {Op::fdiv_d, kRne, kOne, kThree, 0, 0x3fd5555555555555, kNx},
    {Op::fdiv_d, kRup, kOne, kThree, 0, 0x3fd5555555555556, kNx},
    {Op::fdiv_d, kRne, kMinusOne, kZero, 0, kMinusInf, kDz},
    {Op::fdiv_d, kRne, kZero, kZero, 0, kNan, kNv},
    {Op::fdiv_d, kRne, kInf, kZero, 0, kInf, 0},
    {Op::fsqrt_d, kRne, kFour, 0, 0, kTwo, 0},
    {Op::fsqrt_d, kRne, kTwo, 0, 0, 0x3ff6a09e667f3bcd, kNx},
    {Op::fsqrt_d, kRdn, kTwo, 0, 0, 0x3ff6a09e667f3bcc, kNx},
    {Op::fsqrt_d, kRne, kMinusOne, 0, 0, kNan, kNv},
    {Op::fsqrt_d, kRne, kMinusZero, 0, 0, kMinusZero, 0},
    {Op::fmadd_d, kRne, kTwo, kThree, kOne, kSeven, 0},
    {Op::fmadd_d, kRne, kInf, kZero, kNan, kNan, kNv},
    {Op::fmadd_d, kRmm, kOne, kOne, kTiny53, kAboveOne, kNx},
    {Op::fmsub_d, kRne, kTwo, kThree, kOne, kFive, 0},
    {Op::fmsub_d, kRne, kAboveOne, kAboveOne, kOne + 2, 0x3970000000000000, 0},  // 2^-104
    {Op::fnmsub_d, kRne, kTwo, kThree, kOne, kMinusFive, 0},
    {Op::fnmadd_d, kRne, kTwo, kThree, kOne, kMinusSeven, 0},
    {Op::fnmadd_d, kRne, kOne, kZero, kZero, kMinusZero, 0},

    {Op::fsgnj_d, 0, kOne, kMinusTwo, 0, kMinusOne, 0},
    {Op::fsgnj_d, 0, kSignalling, kMinusTwo, 0, kSign | kSignalling, 0},
    {Op::fsgnjn_d, 0, kOne, kOne, 0, kMinusOne, 0},
    {Op::fsgnjx_d, 0, kMinusOne, kMinusOne, 0, kOne, 0},
    {Op::fmin_d, 0, kZero, kMinusZero, 0, kMinusZero, 0},
    {Op::fmin_d, 0, kMinusZero, kZero, 0, kMinusZero, 0},
    {Op::fmin_d, 0, kSignalling, kOne, 0, kOne, kNv},
    {Op::fmin_d, 0, kOtherNan, kOtherNan, 0, kNan, 0},
    {Op::fmax_d, 0, kMinusZero, kZero, 0, kZero, 0},
    {Op::fmax_d, 0, kZero, kMinusZero, 0, kZero, 0},
    {Op::fmax_d, 0, kOne, kNan, 0, kOne, 0},

    // Between the formats.
    {Op::fcvt_s_d, kRne, kOne, 0, 0, box(0x3f800000), 0},
    {Op::fcvt_s_d, kRne, 0x7e37e43c8800759c, 0, 0, box(0x7f800000), kOf | kNx},  // 1e300
    {Op::fcvt_s_d, kRtz, 0x7e37e43c8800759c, 0, 0, box(0x7f7fffff), kOf | kNx},
    {Op::fcvt_s_d, kRne, kSignalling, 0, 0, box(0x7fc00000), kNv},
    {Op::fcvt_s_d, kRne, kOtherNan, 0, 0, box(0x7fc00000), 0},
    {Op::fcvt_s_d, kRne, 0x3690000000000000, 0, 0, box(0), kUf | kNx},  // 2^-150
    {Op::fcvt_s_d, kRup, 0x3690000000000000, 0, 0, box(1), kUf | kNx},
    {Op::fcvt_s_d, kRne, 0x36a0000000000000, 0, 0, box(1), 0},
    {Op::fcvt_d_s, kRne, box(0x3f800000), 0, 0, kOne, 0},
    {Op::fcvt_d_s, kRne, box(0x00000001), 0, 0, 0x36a0000000000000, 0},
    {Op::fcvt_d_s, kRne, box(0x7f800001), 0, 0, kNan, kNv},
    {Op::fcvt_d_s, kRne, box(0xffc12345), 0, 0, kNan, 0},
    {Op::fcvt_d_s, kRne, kOne, 0, 0, kNan, 0},  // not boxed

    {Op::feq_d, 0, kOne, kOne, 0, 1, 0},
    {Op::feq_d, 0, kMinusZero, kZero, 0, 1, 0},
    {Op::feq_d, 0, kNan, kOne, 0, 0, 0},
    {Op::feq_d, 0, kSignalling, kOne, 0, 0, kNv},
    {Op::flt_d, 0, kMinusOne, kOne, 0, 1, 0},
    {Op::flt_d, 0, kMinusZero, kZero, 0, 0, 0},
    {Op::flt_d, 0, kOne, kNan, 0, 0, kNv},
    {Op::fle_d, 0, kZero, kMinusZero, 0, 1, 0},
    {Op::fle_d, 0, kTwo, kOne, 0, 0, 0},
    {Op::fle_d, 0, kNan, kNan, 0, 0, kNv},

    {Op::fclass_d, 0, kMinusInf, 0, 0, 1 << 0, 0},
    {Op::fclass_d, 0, kMinusOne, 0, 0, 1 << 1, 0},
    {Op::fclass_d, 0, kSign | 1, 0, 0, 1 << 2, 0},
    {Op::fclass_d, 0, kMinusZero, 0, 0, 1 << 3, 0},
    {Op::fclass_d, 0, kZero, 0, 0, 1 << 4, 0},
    {Op::fclass_d, 0, kGreatestSubnormal, 0, 0, 1 << 5, 0},
    {Op::fclass_d, 0, kLeastNormal, 0, 0, 1 << 6, 0},
    {Op::fclass_d, 0, kInf, 0, 0, 1 << 7, 0},
    {Op::fclass_d, 0, kSignalling, 0, 0, 1 << 8, 0},
    {Op::fclass_d, 0, kOtherNan, 0, 0, 1 << 9, 0},

    {Op::fcvt_w_d, kRne, kTwoAndHalf, 0, 0, 2, kNx},
    {Op::fcvt_w_d, kRmm, kTwoAndHalf, 0, 0, 3, kNx},
    {Op::fcvt_w_d, kRne, 0x41dfffffffe00000, 0, 0, kMax32, kNv},  // 2147483647.5 rounds out of range
    {Op::fcvt_w_d, kRtz, 0x41dfffffffe00000, 0, 0, kMax32, kNx},
    {Op::fcvt_w_d, kRtz, 0xc1e0000000100000, 0, 0, kMin32, kNx},  // -2147483648.5
    {Op::fcvt_w_d, kRdn, 0xc1e0000000100000, 0, 0, kMin32, kNv},
    {Op::fcvt_w_d, kRne, kNan, 0, 0, kMax32, kNv},
    {Op::fcvt_w_d, kRne, kMinusInf, 0, 0, kMin32, kNv},
    {Op::fcvt_wu_d, kRtz, 0x41effffffff00000, 0, 0, kOnes, kNx},  // 4294967295.5
    {Op::fcvt_wu_d, kRup, 0x41effffffff00000, 0, 0, kOnes, kNv},
    {Op::fcvt_wu_d, kRne, kMinusOne, 0, 0, 0, kNv},
    {Op::fcvt_wu_d, kRup, kSign | kHalf, 0, 0, 0, kNx},
    {Op::fcvt_wu_d, kRne, 0x41e0000000000000, 0, 0, kMin32, 0},
    {Op::fcvt_l_d, kRne, kOneAndHalf, 0, 0, 2, kNx},
    {Op::fcvt_l_d, kRne, 0x43e0000000000000, 0, 0, kMax64, kNv},  // 2^63
    {Op::fcvt_l_d, kRne, 0xc3e0000000000000, 0, 0, kMin64, 0},
    {Op::fcvt_l_d, kRne, kNan, 0, 0, kMax64, kNv},
    {Op::fcvt_lu_d, kRne, 0x43e0000000000000, 0, 0, kMin64, 0},
    {Op::fcvt_lu_d, kRne, 0x43f0000000000000, 0, 0, kOnes, kNv},  // 2^64
    {Op::fcvt_lu_d, kRtz, kSign | kHalf, 0, 0, 0, kNx},
    {Op::fcvt_lu_d, kRdn, kSign | kHalf, 0, 0, 0, kNv},

    {Op::fmv_x_d, 0, kSignalling, 0, 0, kSignalling, 0},
    {Op::fmv_d_x, 0, 0x0123456789abcdef, 0, 0, 0x0123456789abcdef, 0},
    {Op::fcvt_d_w, kRne, 0x12345678'ffffffff, 0, 0, kMinusOne, 0},
    {Op::fcvt_d_w, kRne, 0x80000000, 0, 0, 0xc1e0000000000000, 0},
    {Op::fcvt_d_wu, kRne, kOnes, 0, 0, 0x41efffffffe00000, 0},
    {Op::fcvt_d_l, kRne, kMax64, 0, 0, 0x43e0000000000000, kNx},
    {Op::fcvt_d_l, kRtz, kMax64, 0, 0, 0x43dfffffffffffff, kNx},
    {Op::fcvt_d_l, kRne, kMin64, 0, 0, 0xc3e0000000000000, 0},
    {Op::fcvt_d_lu, kRne, kOnes, 0, 0, 0x43f0000000000000, kNx},
    {Op::fcvt_d_lu, kRdn, kOnes, 0, 0, 0x43efffffffffffff, kNx},
    {Op::fcvt_d_lu, kRne, 0x20000000000001, 0, 0, 0x4340000000000000, kNx},  // 2^53 + 1: a tie
    {Op::fcvt_d_lu, kRmm, 0x20000000000001, 0, 0, 0x4340000000000001, kNx},
};

}  // namespace

std::span<const FloatCase> double_cases() { return kCases; }

}  // namespace cloister::isa_tests
