// SPDX-License-Identifier: Apache-2.0
#include "jit/x64/emitter.h"

// Shifts, products, quotients and single bits.
namespace cloister::jit::x64 {

using isa::Op;
namespace Inst = x86::Inst;

namespace {

x86::Gp sized(const x86::Gp& reg, u32 width) { return width == 8 ? reg : reg.r32(); }

}  // namespace

// x86 masks the count to 5 or 6 bits as RISC-V does.
void Emitter::shift(const isa::Insn& insn, u32 plain_id, u32 bmi_id, u32 width) {
  const auto value_of = [&](u8 reg, const x86::Gp& scratch) {
    return width == 8 ? use(reg, scratch) : use_low(reg, scratch);
  };
  x86::Gp to = target(insn.rd, x86::rax);
  if (features_.bmi2) {
    const x86::Gp count = use_low(insn.rs2, x86::rcx);
    const x86::Gp value = value_of(insn.rs1, x86::rax);
    a_.emit(bmi_id, sized(to, width), sized(value, width), sized(count, width));
  } else {
    to = x86::rax;
    width == 8 ? load(to, insn.rs1) : load_low(to, insn.rs1);
    load_low(x86::rcx, insn.rs2);
    a_.emit(plain_id, sized(to, width), x86::cl);
  }
  width == 8 ? store(insn.rd, to) : store_word(insn.rd, to);
}

void Emitter::rotate(const isa::Insn& insn, u32 id, u32 width) {
  load(x86::rax, insn.rs1);
  load_low(x86::rcx, insn.rs2);
  a_.emit(id, sized(x86::rax, width), x86::cl);
  width == 8 ? store(insn.rd, x86::rax) : store_word(insn.rd, x86::rax);
}

void Emitter::shift_immediate(const isa::Insn& insn, u32 id, u32 width) {
  const x86::Gp to = target(insn.rd, x86::rax);
  const x86::Gp from = width == 8 ? use(insn.rs1, x86::rax) : use_low(insn.rs1, x86::rax);
  const bool doubles = id == Inst::kIdShl && width == 8 && insn.imm == 1;
  if (from != to && id == Inst::kIdRor && features_.bmi2) {
    a_.rorx(sized(to, width), sized(from, width), asmjit::imm(insn.imm));
  } else if (from != to && doubles) {
    a_.lea(to, x86::ptr(from, from));
  } else {
    if (from != to) a_.mov(sized(to, width), sized(from, width));
    if (insn.imm != 0) a_.emit(id, sized(to, width), asmjit::imm(insn.imm));
  }
  width == 8 ? store(insn.rd, to) : store_word(insn.rd, to);
}

// rd = rs2 + (rs1 << shift), rs1 taken as 32 bits without sign for the .uw forms.
void Emitter::shift_add(const isa::Insn& insn, u32 shift, bool zero_extends) {
  x86::Gp index = x86::rax;
  if (zero_extends) {
    load_low(x86::rax, insn.rs1);
  } else {
    index = use(insn.rs1, x86::rax);
  }
  const x86::Gp to = target(insn.rd, x86::rax);
  if (insn.rs2 == 0) {
    if (index != x86::rax) a_.mov(x86::rax, index);
    if (shift != 0) a_.shl(x86::rax, shift);
    return store(insn.rd, x86::rax);
  }
  const x86::Gp base = use(insn.rs2, x86::rcx);
  a_.lea(to, x86::ptr(base, index, shift));
  store(insn.rd, to);
}

void Emitter::multiply(const isa::Insn& insn, u32 width) {
  binary(insn, Inst::kIdImul, Commutes::kYes, width);
}

// The upper half of a product; mulhsu is mulhu, less rs2 where rs1 is negative.
void Emitter::multiply_high(const isa::Insn& insn, bool a_signed, bool b_signed) {
  load(x86::rax, insn.rs1);
  load(x86::rcx, insn.rs2);
  if (a_signed && b_signed) {
    a_.imul(x86::rcx);
    return store(insn.rd, x86::rdx);
  }
  if (!a_signed) {
    a_.mul(x86::rcx);
    return store(insn.rd, x86::rdx);
  }
  a_.mul(x86::rcx);
  load(x86::rax, insn.rs1);
  a_.sar(x86::rax, 63);
  a_.and_(x86::rax, x86::rcx);
  a_.sub(x86::rdx, x86::rax);
  store(insn.rd, x86::rdx);
}

// RISC-V never traps: x / 0 = -1, x % 0 = x, and the one overflow gives the dividend and 0.
void Emitter::divide(const isa::Insn& insn, bool is_signed, bool remainder, u32 width) {
  const asmjit::Label by_zero = a_.newLabel(), overflow = a_.newLabel(), done = a_.newLabel();
  load(x86::rax, insn.rs1);
  load(x86::rcx, insn.rs2);
  const x86::Gp dividend = sized(x86::rax, width), divisor = sized(x86::rcx, width),
                high = sized(x86::rdx, width);
  a_.test(divisor, divisor);
  a_.jz(by_zero);
  if (is_signed) {
    a_.cmp(divisor, -1);
    a_.je(overflow);  // by -1 in general: the quotient is the negated dividend
    width == 8 ? a_.cqo() : a_.cdq();
    a_.idiv(divisor);
  } else {
    a_.xor_(x86::edx, x86::edx);
    a_.div(divisor);
  }
  if (remainder) a_.mov(dividend, high);
  a_.jmp(done);
  if (is_signed) {
    a_.bind(overflow);
    remainder ? a_.xor_(x86::eax, x86::eax) : a_.neg(dividend);
    a_.jmp(done);
  }
  a_.bind(by_zero);
  if (!remainder) a_.mov(x86::rax, -1);
  a_.bind(done);
  width == 4 ? store_word(insn.rd, x86::rax) : store(insn.rd, x86::rax);
}

bool Emitter::compute_multiply(const ir::Step& step) {
  const isa::Insn& insn = step.insn;
  switch (insn.op) {
    case Op::mul:
      multiply(insn, 8);
      return true;
    case Op::mulw:
      multiply(insn, 4);
      return true;
    case Op::mulh:
      multiply_high(insn, true, true);
      return true;
    case Op::mulhsu:
      multiply_high(insn, true, false);
      return true;
    case Op::mulhu:
      multiply_high(insn, false, false);
      return true;
    case Op::div:
      divide(insn, true, false, 8);
      return true;
    case Op::divu:
      divide(insn, false, false, 8);
      return true;
    case Op::rem:
      divide(insn, true, true, 8);
      return true;
    case Op::remu:
      divide(insn, false, true, 8);
      return true;
    case Op::divw:
      divide(insn, true, false, 4);
      return true;
    case Op::divuw:
      divide(insn, false, false, 4);
      return true;
    case Op::remw:
      divide(insn, true, true, 4);
      return true;
    case Op::remuw:
      divide(insn, false, true, 4);
      return true;
    default:
      return false;
  }
}

void Emitter::count(const isa::Insn& insn, u32 id, u32 width) {
  load(x86::rcx, insn.rs1);
  a_.emit(id, sized(x86::rax, width), sized(x86::rcx, width));
  store(insn.rd, x86::rax);
}

// rd = rs1, or rs2 where `move_id` (a cmov on rs1 - rs2) says so.
void Emitter::min_max(const isa::Insn& insn, u32 move_id) {
  load(x86::rax, insn.rs1);
  const x86::Gp second = use(insn.rs2, x86::rcx);
  a_.cmp(x86::rax, second);
  a_.emit(move_id, x86::rax, second);
  store(insn.rd, x86::rax);
}

void Emitter::bit(const isa::Insn& insn, u32 id, bool from_register) {
  load(x86::rax, insn.rs1);
  if (from_register) {
    load(x86::rcx, insn.rs2);
    a_.emit(id, x86::rax, x86::rcx);  // x86 masks the bit number of a register operand to 6 bits
  } else {
    a_.emit(id, x86::rax, asmjit::imm(insn.imm));
  }
  store(insn.rd, x86::rax);
}

void Emitter::extract_bit(const isa::Insn& insn, bool from_register) {
  load(x86::rax, insn.rs1);
  if (from_register) {
    load(x86::rcx, insn.rs2);
    a_.shr(x86::rax, x86::cl);
  } else {
    a_.shr(x86::rax, insn.imm);
  }
  a_.and_(x86::eax, 1);
  store(insn.rd, x86::rax);
}

void Emitter::conditional_zero(const isa::Insn& insn, bool when_zero) {
  load(x86::rcx, insn.rs2);
  load(x86::rax, insn.rs1);
  a_.mov(x86::edx, 0);
  a_.test(x86::rcx, x86::rcx);
  a_.emit(when_zero ? Inst::kIdCmovz : Inst::kIdCmovnz, x86::rax, x86::rdx);
  store(insn.rd, x86::rax);
}

// Each byte: all ones where any bit is set. Bit 7 of ((x & 7f) + 7f) | x tells; its multiple by 255 / 128
// spreads it.
void Emitter::or_combine(const isa::Insn& insn) {
  load(x86::rcx, insn.rs1);
  a_.mov(x86::rdx, 0x7f7f7f7f7f7f7f7f);
  a_.mov(x86::rax, x86::rcx);
  a_.and_(x86::rax, x86::rdx);
  a_.add(x86::rax, x86::rdx);
  a_.or_(x86::rax, x86::rcx);
  a_.not_(x86::rdx);
  a_.and_(x86::rax, x86::rdx);  // 80 in each byte that is not zero
  a_.mov(x86::rcx, x86::rax);
  a_.shr(x86::rcx, 7);         // 01
  a_.add(x86::rax, x86::rax);  // 00 with a carry into the next byte's bit 0: 80 * 2
  a_.sub(x86::rax, x86::rcx);  // 2 * 80 - 01 = ff
  store(insn.rd, x86::rax);
}

void Emitter::extend(const isa::Insn& insn, u32 bits, bool sign) {
  load(x86::rcx, insn.rs1);
  const x86::Gp to = target(insn.rd, x86::rax);
  const x86::Gp part = bits == 8 ? x86::Gp(x86::cl) : x86::Gp(x86::cx);
  sign ? a_.movsx(to, part) : a_.movzx(to.r32(), part);
  store_extended(insn.rd, to);
}

bool Emitter::compute_bits(const ir::Step& step) {
  const isa::Insn& insn = step.insn;
  switch (insn.op) {
    case Op::andn:
      binary_not(insn, Inst::kIdAnd);
      return true;
    case Op::orn:
      binary_not(insn, Inst::kIdOr);
      return true;
    case Op::xnor:
      binary_not(insn, Inst::kIdXor);
      return true;
    case Op::clz:
      if (features_.lzcnt) count(insn, Inst::kIdLzcnt, 8);
      return features_.lzcnt;
    case Op::clzw:
      if (features_.lzcnt) count(insn, Inst::kIdLzcnt, 4);
      return features_.lzcnt;
    case Op::ctz:
      if (features_.tzcnt) count(insn, Inst::kIdTzcnt, 8);
      return features_.tzcnt;
    case Op::ctzw:
      if (features_.tzcnt) count(insn, Inst::kIdTzcnt, 4);
      return features_.tzcnt;
    case Op::cpop:
      if (features_.popcnt) count(insn, Inst::kIdPopcnt, 8);
      return features_.popcnt;
    case Op::cpopw:
      if (features_.popcnt) count(insn, Inst::kIdPopcnt, 4);
      return features_.popcnt;
    case Op::max:
      min_max(insn, Inst::kIdCmovl);
      return true;
    case Op::maxu:
      min_max(insn, Inst::kIdCmovb);
      return true;
    case Op::min:
      min_max(insn, Inst::kIdCmovg);
      return true;
    case Op::minu:
      min_max(insn, Inst::kIdCmova);
      return true;
    case Op::sext_b:
      extend(insn, 8, true);
      return true;
    case Op::sext_h:
      extend(insn, 16, true);
      return true;
    case Op::zext_h:
      extend(insn, 16, false);
      return true;
    case Op::slli_uw:
      load_low(x86::rax, insn.rs1);
      a_.shl(x86::rax, insn.imm);
      store(insn.rd, x86::rax);
      return true;
    case Op::rev8:
      load(x86::rax, insn.rs1);
      a_.bswap(x86::rax);
      store(insn.rd, x86::rax);
      return true;
    case Op::orc_b:
      or_combine(insn);
      return true;
    default:
      return false;
  }
}

bool Emitter::compute_single_bit(const ir::Step& step) {
  const isa::Insn& insn = step.insn;
  switch (insn.op) {
    case Op::bset:
      bit(insn, Inst::kIdBts, true);
      return true;
    case Op::bseti:
      bit(insn, Inst::kIdBts, false);
      return true;
    case Op::bclr:
      bit(insn, Inst::kIdBtr, true);
      return true;
    case Op::bclri:
      bit(insn, Inst::kIdBtr, false);
      return true;
    case Op::binv:
      bit(insn, Inst::kIdBtc, true);
      return true;
    case Op::binvi:
      bit(insn, Inst::kIdBtc, false);
      return true;
    case Op::bext:
      extract_bit(insn, true);
      return true;
    case Op::bexti:
      extract_bit(insn, false);
      return true;
    case Op::czero_eqz:
      conditional_zero(insn, true);
      return true;
    case Op::czero_nez:
      conditional_zero(insn, false);
      return true;
    default:
      return false;
  }
}

}  // namespace cloister::jit::x64
