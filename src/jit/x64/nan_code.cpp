// SPDX-License-Identifier: Apache-2.0
#include "jit/x64/region_code.h"

// The canonical NaN, put off.
//
// Where a NaN comes out of RISC-V's arithmetic it is the canonical one; out of the host's come other ones,
// with the sign or with an operand's payload. To look after each instruction costs as much as the arithmetic.
// But arithmetic and comparisons treat all quiet NaNs alike, so the difference shows only where a value's
// bits do: in a store, a move to an x register, a sign operation, and wherever other code may look at
// registers. There the register is looked at, if arithmetic wrote it last; most results are never looked at
// at all. A value that was loaded is the guest's own, whatever NaN it is.
namespace cloister::jit::x64 {

void RegionCode::settle() {
  emit_.widen_all();
  const u32 odd = emit_.knowledge().odd_doubles | emit_.knowledge().odd_singles;
  for (u8 reg = 0; reg < 32; ++reg) {
    if (odd >> reg & 1) settle_float(reg);
  }
}

void RegionCode::settle_float(u8 reg) {
  Knowledge& known = emit_.knowledge();
  const u32 bit = 1u << reg;
  if (((known.odd_doubles | known.odd_singles) & bit) == 0) return;
  make_canonical(emit_.homes().floating(32u + reg), (known.odd_doubles & bit) != 0);
  known.odd_doubles &= ~bit;
  known.odd_singles &= ~bit;
}

// Uses rax, out of the way.
void RegionCode::make_canonical(const x86::Xmm& value, bool is_double) {
  static constexpr u64 kDouble = 0x7ff8'0000'0000'0000, kSingle = 0xffff'ffff'7fc0'0000;
  const Label nan = a_.newLabel(), back = a_.newLabel();
  is_double ? a_.ucomisd(value, value) : a_.ucomiss(value, value);
  a_.jp(nan);
  a_.bind(back);
  later([this, nan, back, value, is_double] {
    a_.bind(nan);
    a_.mov(x86::rax, is_double ? kDouble : kSingle);
    a_.movq(value, x86::rax);
    a_.jmp(back);
  });
}

// Of a register without a home the State has the value, where the host may look at it any time.
void RegionCode::finish_arithmetic(const isa::Insn& insn, const x86::Xmm& value, bool is_double) {
  const bool has_home = emit_.homes().has(32u + insn.rd);
  if (!has_home) make_canonical(value, is_double);
  finish_float(insn, value, is_double);
  if (!has_home) return;
  Knowledge& known = emit_.knowledge();
  (is_double ? known.odd_doubles : known.odd_singles) |= 1u << insn.rd;
}

}  // namespace cloister::jit::x64
