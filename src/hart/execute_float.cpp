// SPDX-License-Identifier: Apache-2.0
#include "hart/execute.h"
#include "hart/fp.h"

// F and D: the arithmetic is hart/fp.h's. That floating point is on and the rounding mode is one was checked
// by the block's check_float.
namespace cloister::hart::op {

OP(check_float) {
  const bool bad_rounding = (u->imm & kNeedsRounding) != 0 && s.frm > fp::kNearestAway;
  if (s.fs == 0 || bad_rounding) [[unlikely]]
    return raise_illegal(s, u, pc);
  if ((u->imm & kDirties) != 0) s.fs = 3;
  NEXT;
}

// To the f or x register of rd from those of rs1 and rs2: a, b.
#define FLOAT(name, to, from, ...)                        \
  OP(name) {                                              \
    const u64 a = s.from[u->rs1];                         \
    s.to[u->rd] = fp::name(a __VA_OPT__(, ) __VA_ARGS__); \
    NEXT;                                                 \
  }
#define BOTH(shape, name) shape(name##_s) shape(name##_d)

#define ROUNDED(name) FLOAT(name, f, f, s.f[u->rs2], u->rm)
#define ROUNDED_UNARY(name) FLOAT(name, f, f, u->rm)
#define FUSED(name) FLOAT(name, f, f, s.f[u->rs2], s.f[static_cast<u8>(u->imm)], u->rm)
#define PICK(name) FLOAT(name, f, f, s.f[u->rs2])
#define COMPARE(name) FLOAT(name, x, f, s.f[u->rs2])
#define LOOK(name) FLOAT(name, x, f)
#define TO_INTEGER(name) FLOAT(name, x, f, u->rm)
#define FROM_INTEGER(name) FLOAT(name, f, x, u->rm)

BOTH(ROUNDED, fadd)
BOTH(ROUNDED, fsub)
BOTH(ROUNDED, fmul)
BOTH(ROUNDED, fdiv)
BOTH(ROUNDED_UNARY, fsqrt)
BOTH(FUSED, fmadd)
BOTH(FUSED, fmsub)
BOTH(FUSED, fnmadd)
BOTH(FUSED, fnmsub)
BOTH(PICK, fsgnj)
BOTH(PICK, fsgnjn)
BOTH(PICK, fsgnjx)
BOTH(PICK, fmin)
BOTH(PICK, fmax)
BOTH(COMPARE, feq)
BOTH(COMPARE, flt)
BOTH(COMPARE, fle)
BOTH(LOOK, fclass)
BOTH(TO_INTEGER, fcvt_w)
BOTH(TO_INTEGER, fcvt_wu)
BOTH(TO_INTEGER, fcvt_l)
BOTH(TO_INTEGER, fcvt_lu)
FROM_INTEGER(fcvt_s_w)
FROM_INTEGER(fcvt_s_wu)
FROM_INTEGER(fcvt_s_l)
FROM_INTEGER(fcvt_s_lu)
FROM_INTEGER(fcvt_d_w)
FROM_INTEGER(fcvt_d_wu)
FROM_INTEGER(fcvt_d_l)
FROM_INTEGER(fcvt_d_lu)
ROUNDED_UNARY(fcvt_s_d)
ROUNDED_UNARY(fcvt_d_s)
LOOK(fmv_x_w)
LOOK(fmv_x_d)
FLOAT(fmv_w_x, f, x)
FLOAT(fmv_d_x, f, x)

}  // namespace cloister::hart::op
