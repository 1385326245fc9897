// SPDX-License-Identifier: Apache-2.0
#include "isa/properties.h"
#include "jit/x64/region_code.h"

// Floating point by the host's SSE.
//
// The host's MXCSR holds the guest's rounding mode and gathers its flags (hart/fp_host.h), so most arithmetic
// is one instruction. It differs from RISC-V's where a NaN comes out (nan_code.cpp), in conversions out of
// range, and for singles that are not NaN-boxed: there the interpreter's handler does the instruction
// instead. What the host's try left in the sticky flags the handler raises too, for it computes the same.
namespace cloister::jit::x64 {

using isa::Op;
namespace Inst = x86::Inst;

// f[reg], fit for arithmetic on doubles or on singles: of the other kind what is put off is done first.
x86::Xmm RegionCode::float_source(u8 reg, bool is_double, const x86::Xmm& scratch) {
  const Knowledge& known = emit_.knowledge();
  if (((is_double ? known.odd_singles : known.odd_doubles) >> reg & 1) != 0) settle_float(reg);
  return emit_.use_float(reg, scratch);
}

void RegionCode::need_boxed(u8 reg, const Label& otherwise) {
  if (emit_.knowledge().boxed >> reg & 1) return;
  if (emit_.knowledge().odd_doubles >> reg & 1) settle_float(reg);
  if (emit_.homes().has(32u + reg)) {
    a_.movq(x86::rax, emit_.homes().floating(32u + reg));
    a_.shr(x86::rax, 32);
    a_.cmp(x86::eax, -1);
  } else {
    a_.cmp(state_at(offsetof(hart::State, f) + reg * 8u + 4, 4), -1);
  }
  a_.jne(otherwise);
}

void RegionCode::finish_float(const isa::Insn& insn, const x86::Xmm& value, bool is_double) {
  emit_.store_float(insn.rd, value);
  const u32 bit = 1u << insn.rd;
  Knowledge& known = emit_.knowledge();
  known.boxed = is_double ? known.boxed & ~bit : known.boxed | bit;
  known.odd_doubles &= ~bit;
  known.odd_singles &= ~bit;
}

// A single's upper half, all ones, stays from rs1.
bool RegionCode::float_binary(const Here& here, FloatOp op, bool is_double) {
  const isa::Insn& insn = here.current().insn;
  if (!takes_current_rounding(insn)) return false;
  const Label otherwise = a_.newLabel(), back = a_.newLabel();
  if (!is_double) {
    need_boxed(insn.rs1, otherwise);
    need_boxed(insn.rs2, otherwise);
  }
  const x86::Xmm first = float_source(insn.rs1, is_double, x86::xmm0);
  const x86::Xmm second = float_source(insn.rs2, is_double, x86::xmm1);
  x86::Xmm to = x86::xmm0;
  if (emit_.features().avx) {
    to = emit_.target_float(insn.rd, x86::xmm0);
    a_.emit(op.avx, to, first, second);
  } else {
    if (first != to) a_.movaps(to, first);
    a_.emit(op.sse, to, second);
  }
  finish_arithmetic(insn, to, is_double);
  a_.bind(back);
  if (!is_double) by_handler(here, otherwise, back);
  return true;
}

bool RegionCode::float_root(const Here& here, bool is_double) {
  const isa::Insn& insn = here.current().insn;
  if (!takes_current_rounding(insn)) return false;
  const Label otherwise = a_.newLabel(), back = a_.newLabel();
  if (!is_double) need_boxed(insn.rs1, otherwise);
  const x86::Xmm from = float_source(insn.rs1, is_double, x86::xmm1);
  a_.movaps(x86::xmm0, from);
  is_double ? a_.sqrtsd(x86::xmm0, from) : a_.sqrtss(x86::xmm0, from);
  finish_arithmetic(insn, x86::xmm0, is_double);
  a_.bind(back);
  if (!is_double) by_handler(here, otherwise, back);
  return true;
}

// to = ±(a * b) ± c. Of the host's forms the one is taken that overwrites the operand that lives where the
// result shall: 213 multiplies by what it overwrites, 231 adds to it. Infinity times zero plus a NaN is an
// invalid operation for RISC-V only, so a NaN that comes out is the handler's, which finds the operands.
bool RegionCode::float_fused(const Here& here, FusedOp op, bool is_double) {
  const isa::Insn& insn = here.current().insn;
  if (!takes_current_rounding(insn) || !emit_.features().fma) return false;
  const Label otherwise = a_.newLabel(), nan = a_.newLabel(), back = a_.newLabel();
  for (const u8 reg : {insn.rs1, insn.rs2, insn.rs3}) {
    if (!is_double) need_boxed(reg, otherwise);
    (void)float_source(reg, is_double, x86::xmm0);
  }
  // The operand that is overwritten is kept in a scratch register where one is free, else the result is.
  const bool is_source = insn.rd == insn.rs1 || insn.rd == insn.rs2 || insn.rd == insn.rs3;
  const bool has_scratch = emit_.homes().has(32u + insn.rs1) && emit_.homes().has(32u + insn.rs2);
  const bool keeps = is_source && has_scratch && emit_.homes().has(32u + insn.rd);
  const x86::Xmm to = is_source && !keeps ? x86::xmm0 : emit_.target_float(insn.rd, x86::xmm0);
  if (keeps) a_.movaps(x86::xmm1, to);
  if (!is_source) {  // the handler will find there what comes out here
    known_before_.odd_doubles &= ~(1u << insn.rd);
    known_before_.odd_singles &= ~(1u << insn.rd);
  }
  emit_fused(insn, op, to, is_double);
  is_double ? a_.ucomisd(to, to) : a_.ucomiss(to, to);
  a_.jp(nan);
  finish_float(insn, to, is_double);
  a_.bind(back);
  later([this, nan, otherwise, to, keeps] {
    a_.bind(nan);
    if (keeps) a_.movaps(to, x86::xmm1);
    a_.jmp(otherwise);
  });
  by_handler(here, otherwise, back);
  return true;
}

void RegionCode::emit_fused(const isa::Insn& insn, FusedOp op, const x86::Xmm& to, bool is_double) {
  const Homes& homes = emit_.homes();
  const x86::Xmm a = emit_.use_float(insn.rs1, x86::xmm0), b = emit_.use_float(insn.rs2, x86::xmm1);
  if (homes.has(32u + insn.rs3) && to == homes.floating(32u + insn.rs3)) {
    a_.emit(op.add, to, a, b);
    return;
  }
  const bool by_b = to == b && to != a;
  if (!by_b && to != a) a_.movaps(to, a);
  const x86::Xmm factor = by_b ? a : b;
  if (homes.has(32u + insn.rs3)) {
    a_.emit(op.multiply, to, factor, homes.floating(32u + insn.rs3));
  } else {
    a_.emit(op.multiply, to, factor, state_f(insn.rs3, is_double ? 8 : 4));
  }
}

bool RegionCode::float_compare(const Here& here, bool is_double) {
  const isa::Insn& insn = here.current().insn;
  const Label otherwise = a_.newLabel(), back = a_.newLabel();
  if (!is_double) {
    need_boxed(insn.rs1, otherwise);
    need_boxed(insn.rs2, otherwise);
  }
  const x86::Xmm a = float_source(insn.rs1, is_double, x86::xmm0);
  const x86::Xmm b = float_source(insn.rs2, is_double, x86::xmm1);
  if (insn.op == Op::feq_d || insn.op == Op::feq_s) {
    is_double ? a_.ucomisd(a, b) : a_.ucomiss(a, b);
    a_.sete(x86::al);
    a_.setnp(x86::cl);
    a_.and_(x86::al, x86::cl);
  } else {
    is_double ? a_.comisd(b, a) : a_.comiss(b, a);  // b above a: unordered is not
    insn.op == Op::flt_d || insn.op == Op::flt_s ? a_.seta(x86::al) : a_.setae(x86::al);
  }
  const x86::Gp to = emit_.target(insn.rd, x86::rax);
  a_.movzx(to.r32(), x86::al);
  emit_.store(insn.rd, to);
  if (!is_double) {
    a_.bind(back);
    by_handler(here, otherwise, back);
  }
  return true;
}

// Out of range and NaN give the "integer indefinite", the least value, which in range is rare.
bool RegionCode::float_to_integer(const Here& here, u32 width, bool is_double) {
  const isa::Insn& insn = here.current().insn;
  const bool truncates = insn.rm == 1;
  if (!truncates && !takes_current_rounding(insn)) return false;
  const Label otherwise = a_.newLabel(), back = a_.newLabel();
  if (!is_double) need_boxed(insn.rs1, otherwise);
  const x86::Xmm from = float_source(insn.rs1, is_double, x86::xmm0);
  const x86::Gp result = width == 8 ? x86::Gp(x86::rax) : x86::Gp(x86::eax);
  const u32 id = is_double ? (truncates ? Inst::kIdCvttsd2si : Inst::kIdCvtsd2si)
                           : (truncates ? Inst::kIdCvttss2si : Inst::kIdCvtss2si);
  a_.emit(id, result, from);
  const x86::Gp copy = width == 8 ? x86::Gp(x86::rcx) : x86::Gp(x86::ecx);
  a_.mov(copy, result);
  a_.sub(copy, 1);  // overflows for the least value only
  a_.jo(otherwise);
  const x86::Gp to = emit_.target(insn.rd, x86::rax);
  if (width == 4) a_.movsxd(to, x86::eax);
  emit_.store(insn.rd, width == 4 ? to : x86::Gp(x86::rax));
  a_.bind(back);
  by_handler(here, otherwise, back);
  return true;
}

bool RegionCode::float_from_integer(const Here& here, u32 width, bool is_double) {
  const isa::Insn& insn = here.current().insn;
  const bool exact = is_double && width == 4;
  if (!exact && !takes_current_rounding(insn)) return false;
  const x86::Gp from = emit_.use(insn.rs1, x86::rax);
  // All ones above a single; and no dependence on what the register held.
  is_double ? a_.xorps(x86::xmm0, x86::xmm0) : a_.pcmpeqd(x86::xmm0, x86::xmm0);
  a_.emit(is_double ? Inst::kIdCvtsi2sd : Inst::kIdCvtsi2ss, x86::xmm0, width == 8 ? from : from.r32());
  finish_float(insn, x86::xmm0, is_double);
  return true;
}

// fsgnj, fsgnjn, fsgnjx of doubles: fmv.d, fneg.d and fabs.d among them.
bool RegionCode::float_sign(const isa::Insn& insn) {
  if (insn.op == Op::fsgnj_d && insn.rs1 == insn.rs2) {
    settle_float(insn.rs1);
    finish_float(insn, emit_.use_float(insn.rs1, x86::xmm0), true);
    return true;
  }
  settle_float(insn.rs1);
  settle_float(insn.rs2);
  a_.movq(x86::rax, emit_.use_float(insn.rs1, x86::xmm0));
  a_.movq(x86::rcx, emit_.use_float(insn.rs2, x86::xmm1));
  if (insn.op == Op::fsgnjn_d) a_.not_(x86::rcx);
  a_.shr(x86::rcx, 63);
  a_.shl(x86::rcx, 63);
  if (insn.op == Op::fsgnjx_d) {
    a_.xor_(x86::rax, x86::rcx);
  } else {
    a_.btr(x86::rax, 63);
    a_.or_(x86::rax, x86::rcx);
  }
  a_.movq(x86::xmm0, x86::rax);
  finish_float(insn, x86::xmm0, true);
  return true;
}

bool RegionCode::float_move(const Here& here) {
  const isa::Insn& insn = here.current().insn;
  if (insn.op == Op::fmv_x_d || insn.op == Op::fmv_x_w) {
    settle_float(insn.rs1);
    const x86::Gp to = emit_.target(insn.rd, x86::rax);
    a_.movq(to, emit_.use_float(insn.rs1, x86::xmm0));
    if (insn.op == Op::fmv_x_w) a_.movsxd(to, to.r32());
    emit_.store(insn.rd, to);
    return true;
  }
  if (insn.op == Op::fmv_d_x) {
    a_.movq(x86::xmm0, emit_.use(insn.rs1, x86::rax));
  } else {
    emit_.load(x86::rax, insn.rs1);
    a_.mov(x86::eax, x86::eax);
    a_.mov(x86::rcx, static_cast<i64>(0xffffffff00000000));
    a_.or_(x86::rax, x86::rcx);
    a_.movq(x86::xmm0, x86::rax);
  }
  finish_float(insn, x86::xmm0, insn.op == Op::fmv_d_x);
  return true;
}

// Between singles and doubles.
bool RegionCode::float_widen(const Here& here) {
  const isa::Insn& insn = here.current().insn;
  const bool to_double = insn.op == Op::fcvt_d_s;
  if (!to_double && !takes_current_rounding(insn)) return false;
  const Label otherwise = a_.newLabel(), back = a_.newLabel();
  if (to_double) need_boxed(insn.rs1, otherwise);
  const x86::Xmm from = float_source(insn.rs1, !to_double, x86::xmm1);
  if (to_double) {
    a_.xorps(x86::xmm0, x86::xmm0);
    a_.cvtss2sd(x86::xmm0, from);
  } else {
    a_.pcmpeqd(x86::xmm0, x86::xmm0);
    a_.cvtsd2ss(x86::xmm0, from);
  }
  finish_arithmetic(insn, x86::xmm0, to_double);
  a_.bind(back);
  if (to_double) by_handler(here, otherwise, back);
  return true;
}

bool RegionCode::emit_float(const Here& here) {
  switch (here.current().insn.op) {
    case Op::fadd_d:
      return float_binary(here, {Inst::kIdAddsd, Inst::kIdVaddsd}, true);
    case Op::fsub_d:
      return float_binary(here, {Inst::kIdSubsd, Inst::kIdVsubsd}, true);
    case Op::fmul_d:
      return float_binary(here, {Inst::kIdMulsd, Inst::kIdVmulsd}, true);
    case Op::fdiv_d:
      return float_binary(here, {Inst::kIdDivsd, Inst::kIdVdivsd}, true);
    case Op::fadd_s:
      return float_binary(here, {Inst::kIdAddss, Inst::kIdVaddss}, false);
    case Op::fsub_s:
      return float_binary(here, {Inst::kIdSubss, Inst::kIdVsubss}, false);
    case Op::fmul_s:
      return float_binary(here, {Inst::kIdMulss, Inst::kIdVmulss}, false);
    case Op::fdiv_s:
      return float_binary(here, {Inst::kIdDivss, Inst::kIdVdivss}, false);
    case Op::fsqrt_d:
      return float_root(here, true);
    case Op::fsqrt_s:
      return float_root(here, false);
    case Op::fmadd_d:
      return float_fused(here, {Inst::kIdVfmadd213sd, Inst::kIdVfmadd231sd}, true);
    case Op::fmsub_d:
      return float_fused(here, {Inst::kIdVfmsub213sd, Inst::kIdVfmsub231sd}, true);
    case Op::fnmsub_d:
      return float_fused(here, {Inst::kIdVfnmadd213sd, Inst::kIdVfnmadd231sd}, true);
    case Op::fnmadd_d:
      return float_fused(here, {Inst::kIdVfnmsub213sd, Inst::kIdVfnmsub231sd}, true);
    case Op::fmadd_s:
      return float_fused(here, {Inst::kIdVfmadd213ss, Inst::kIdVfmadd231ss}, false);
    case Op::fmsub_s:
      return float_fused(here, {Inst::kIdVfmsub213ss, Inst::kIdVfmsub231ss}, false);
    case Op::fnmsub_s:
      return float_fused(here, {Inst::kIdVfnmadd213ss, Inst::kIdVfnmadd231ss}, false);
    case Op::fnmadd_s:
      return float_fused(here, {Inst::kIdVfnmsub213ss, Inst::kIdVfnmsub231ss}, false);
    default:
      return emit_float_conversion(here);
  }
}

bool RegionCode::emit_float_conversion(const Here& here) {
  switch (here.current().insn.op) {
    case Op::feq_d:
    case Op::flt_d:
    case Op::fle_d:
      return float_compare(here, true);
    case Op::feq_s:
    case Op::flt_s:
    case Op::fle_s:
      return float_compare(here, false);
    case Op::fcvt_w_d:
      return float_to_integer(here, 4, true);
    case Op::fcvt_l_d:
      return float_to_integer(here, 8, true);
    case Op::fcvt_w_s:
      return float_to_integer(here, 4, false);
    case Op::fcvt_l_s:
      return float_to_integer(here, 8, false);
    case Op::fcvt_d_w:
      return float_from_integer(here, 4, true);
    case Op::fcvt_d_l:
      return float_from_integer(here, 8, true);
    case Op::fcvt_s_w:
      return float_from_integer(here, 4, false);
    case Op::fcvt_s_l:
      return float_from_integer(here, 8, false);
    case Op::fsgnj_d:
    case Op::fsgnjn_d:
    case Op::fsgnjx_d:
      return float_sign(here.current().insn);
    case Op::fmv_x_d:
    case Op::fmv_x_w:
    case Op::fmv_d_x:
    case Op::fmv_w_x:
      return float_move(here);
    case Op::fcvt_s_d:
    case Op::fcvt_d_s:
      return float_widen(here);
    default:
      return false;
  }
}

}  // namespace cloister::jit::x64
