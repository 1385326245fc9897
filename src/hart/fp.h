// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "hart/fp_convert.h"
#include "hart/fp_host.h"
#include "hart/fp_state.h"

// RISC-V's F and D instructions as functions of register values: in and out are whole 64-bit registers,
// singles NaN-boxed (checked on the way in, made on the way out), NaN results canonical. x registers are
// u64 too, 32-bit integers sign-extended.
//
// `rm` is the instruction's rm field: 0..4, or 7 for the current rounding mode. Precondition: the caller has
// refused what is an illegal instruction: rm 5 and 6, and rm 7 while frm is above 4.
//
// Flags are not returned: they gather where HostFp says. Right on any thread with or without a HostFp; fast
// with.
namespace cloister::hart::fp {

inline u64 fadd_s(u64 a, u64 b, u8 rm) { return host::add<Single>(a, b, rm); }
inline u64 fadd_d(u64 a, u64 b, u8 rm) { return host::add<Double>(a, b, rm); }
inline u64 fsub_s(u64 a, u64 b, u8 rm) { return host::subtract<Single>(a, b, rm); }
inline u64 fsub_d(u64 a, u64 b, u8 rm) { return host::subtract<Double>(a, b, rm); }
inline u64 fmul_s(u64 a, u64 b, u8 rm) { return host::multiply<Single>(a, b, rm); }
inline u64 fmul_d(u64 a, u64 b, u8 rm) { return host::multiply<Double>(a, b, rm); }
inline u64 fdiv_s(u64 a, u64 b, u8 rm) { return host::divide<Single>(a, b, rm); }
inline u64 fdiv_d(u64 a, u64 b, u8 rm) { return host::divide<Double>(a, b, rm); }
inline u64 fsqrt_s(u64 a, u8 rm) { return host::square_root<Single>(a, rm); }
inline u64 fsqrt_d(u64 a, u8 rm) { return host::square_root<Double>(a, rm); }

// a*b + c, a*b - c, -(a*b) - c, -(a*b) + c.
inline u64 fmadd_s(u64 a, u64 b, u64 c, u8 rm) { return host::fused<Single, host::kMadd>(a, b, c, rm); }
inline u64 fmadd_d(u64 a, u64 b, u64 c, u8 rm) { return host::fused<Double, host::kMadd>(a, b, c, rm); }
inline u64 fmsub_s(u64 a, u64 b, u64 c, u8 rm) { return host::fused<Single, host::kMsub>(a, b, c, rm); }
inline u64 fmsub_d(u64 a, u64 b, u64 c, u8 rm) { return host::fused<Double, host::kMsub>(a, b, c, rm); }
inline u64 fnmadd_s(u64 a, u64 b, u64 c, u8 rm) { return host::fused<Single, host::kNmadd>(a, b, c, rm); }
inline u64 fnmadd_d(u64 a, u64 b, u64 c, u8 rm) { return host::fused<Double, host::kNmadd>(a, b, c, rm); }
inline u64 fnmsub_s(u64 a, u64 b, u64 c, u8 rm) { return host::fused<Single, host::kNmsub>(a, b, c, rm); }
inline u64 fnmsub_d(u64 a, u64 b, u64 c, u8 rm) { return host::fused<Double, host::kNmsub>(a, b, c, rm); }

// IEEE 754-2019 minimumNumber and maximumNumber: -0 is below +0, a number beats a NaN.
inline u64 fmin_s(u64 a, u64 b) { return host::minimum<Single>(a, b); }
inline u64 fmin_d(u64 a, u64 b) { return host::minimum<Double>(a, b); }
inline u64 fmax_s(u64 a, u64 b) { return host::maximum<Single>(a, b); }
inline u64 fmax_d(u64 a, u64 b) { return host::maximum<Double>(a, b); }

// feq is quiet: only a signalling NaN is invalid. flt and fle are signalling: any NaN is.
inline u64 feq_s(u64 a, u64 b) { return host::equal<Single>(a, b); }
inline u64 feq_d(u64 a, u64 b) { return host::equal<Double>(a, b); }
inline u64 flt_s(u64 a, u64 b) { return host::less<Single>(a, b); }
inline u64 flt_d(u64 a, u64 b) { return host::less<Double>(a, b); }
inline u64 fle_s(u64 a, u64 b) { return host::less_or_equal<Single>(a, b); }
inline u64 fle_d(u64 a, u64 b) { return host::less_or_equal<Double>(a, b); }

inline u64 fclass_s(u64 a) { return host::classify<Single>(a); }
inline u64 fclass_d(u64 a) { return host::classify<Double>(a); }

inline u64 fsgnj_s(u64 a, u64 b) { return host::with_sign<Single>(a, Single::unbox(b)); }
inline u64 fsgnj_d(u64 a, u64 b) { return host::with_sign<Double>(a, b); }
inline u64 fsgnjn_s(u64 a, u64 b) { return host::with_sign<Single>(a, ~Single::unbox(b)); }
inline u64 fsgnjn_d(u64 a, u64 b) { return host::with_sign<Double>(a, ~b); }
inline u64 fsgnjx_s(u64 a, u64 b) { return host::with_sign<Single>(a, Single::unbox(a) ^ Single::unbox(b)); }
inline u64 fsgnjx_d(u64 a, u64 b) { return host::with_sign<Double>(a, a ^ b); }

// Floating point to integer: out of range saturates, NaN gives the greatest value.
inline u64 fcvt_w_s(u64 a, u8 rm) { return host::to_signed<Single, i32>(a, rm); }
inline u64 fcvt_w_d(u64 a, u8 rm) { return host::to_signed<Double, i32>(a, rm); }
inline u64 fcvt_l_s(u64 a, u8 rm) { return host::to_signed<Single, i64>(a, rm); }
inline u64 fcvt_l_d(u64 a, u8 rm) { return host::to_signed<Double, i64>(a, rm); }
inline u64 fcvt_wu_s(u64 a, u8 rm) { return host::to_unsigned<Single, u32>(a, rm); }
inline u64 fcvt_wu_d(u64 a, u8 rm) { return host::to_unsigned<Double, u32>(a, rm); }
inline u64 fcvt_lu_s(u64 a, u8 rm) { return host::to_unsigned<Single, u64>(a, rm); }
inline u64 fcvt_lu_d(u64 a, u8 rm) { return host::to_unsigned<Double, u64>(a, rm); }

inline u64 fcvt_s_w(u64 x, u8 rm) { return host::from_signed<Single>(static_cast<i32>(x), rm); }
inline u64 fcvt_d_w(u64 x, u8 rm) { return host::from_signed<Double>(static_cast<i32>(x), rm); }
inline u64 fcvt_s_wu(u64 x, u8 rm) { return host::from_signed<Single>(static_cast<u32>(x), rm); }
inline u64 fcvt_d_wu(u64 x, u8 rm) { return host::from_signed<Double>(static_cast<u32>(x), rm); }
inline u64 fcvt_s_l(u64 x, u8 rm) { return host::from_signed<Single>(static_cast<i64>(x), rm); }
inline u64 fcvt_d_l(u64 x, u8 rm) { return host::from_signed<Double>(static_cast<i64>(x), rm); }
inline u64 fcvt_s_lu(u64 x, u8 rm) { return host::from_unsigned<Single>(x, rm); }
inline u64 fcvt_d_lu(u64 x, u8 rm) { return host::from_unsigned<Double>(x, rm); }

inline u64 fcvt_s_d(u64 a, u8 rm) { return host::narrow(a, rm); }
inline u64 fcvt_d_s(u64 a, u8 /*rm*/ = kDynamic) { return host::widen(a); }

// Bits as they are: no check of the box, no canonical NaN.
inline u64 fmv_x_w(u64 a) { return static_cast<u64>(i64{static_cast<i32>(a)}); }
inline u64 fmv_w_x(u64 x) { return Single::box(static_cast<u32>(x)); }
inline u64 fmv_x_d(u64 a) { return a; }
inline u64 fmv_d_x(u64 x) { return x; }

}  // namespace cloister::hart::fp
