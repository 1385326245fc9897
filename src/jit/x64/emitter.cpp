// SPDX-License-Identifier: Apache-2.0
#include "jit/x64/emitter.h"

#include <bit>

// Operands: where they live, and the instructions that add, subtract, compare and move.
namespace cloister::jit::x64 {

using isa::Op;
namespace Inst = x86::Inst;

Homes::Homes(const passes::Ranking& ranking, bool has_groups) {
  home_.fill(-1);
  const u32 integer_homes = has_groups ? kIntegerHomes : kIntegerHomes + 1;
  for (std::size_t i = 0; i < ranking.integers.size() && i < integer_homes; ++i) {
    home_[ranking.integers[i]] = static_cast<i8>(i);
    homed_ |= u64{1} << ranking.integers[i];
  }
  for (std::size_t i = 0; i < ranking.floats.size() && i < kFloatHomes; ++i) {
    home_[ranking.floats[i]] = static_cast<i8>(i);
    homed_ |= u64{1} << ranking.floats[i];
  }
}

void Emitter::load(const x86::Gp& scratch, u8 reg) {
  if (reg == 0) {
    a_.xor_(scratch.r32(), scratch.r32());
  } else if (homes_.has(reg)) {
    a_.mov(scratch, homes_.integer(reg));
  } else {
    a_.mov(scratch, state_x(reg));
  }
}

x86::Gp Emitter::use(u8 reg, const x86::Gp& scratch) {
  if (reg != 0 && homes_.has(reg)) return homes_.integer(reg);
  load(scratch, reg);
  return scratch;
}

x86::Gp Emitter::target(u8 reg, const x86::Gp& scratch) const {
  return reg != 0 && homes_.has(reg) ? homes_.integer(reg) : scratch;
}

void Emitter::store(u8 reg, const x86::Gp& from) {
  if (reg == 0) return;
  if (!homes_.has(reg)) {
    a_.mov(state_x(reg), from);
  } else if (homes_.integer(reg) != from) {
    a_.mov(homes_.integer(reg), from);
  }
}

x86::Xmm Emitter::use_float(u8 reg, const x86::Xmm& scratch) {
  if (homes_.has(32u + reg)) return homes_.floating(32u + reg);
  a_.movsd(scratch, state_f(reg));
  return scratch;
}

x86::Xmm Emitter::target_float(u8 reg, const x86::Xmm& scratch) const {
  return homes_.has(32u + reg) ? homes_.floating(32u + reg) : scratch;
}

void Emitter::store_float(u8 reg, const x86::Xmm& from) {
  if (!homes_.has(32u + reg)) {
    a_.movsd(state_f(reg), from);
  } else if (homes_.floating(32u + reg) != from) {
    a_.movaps(homes_.floating(32u + reg), from);
  }
}

void Emitter::set_known(u8 rd, ir::Known value) {
  if (rd == 0) return;
  const x86::Gp to = target(rd, x86::rax);
  if (value.kind == ir::Known::Kind::kValue) {
    if (value.value == 0) {
      a_.xor_(to.r32(), to.r32());
    } else if (std::bit_cast<u64>(value.value) >> 32 == 0) {
      a_.mov(to.r32(), value.value);
    } else {
      a_.mov(to, value.value);
    }
  } else {
    a_.mov(to, state_at(offsetof(hart::State, page)));
    if (value.value != static_cast<i32>(value.value)) {
      a_.mov(x86::rcx, value.value);
      a_.add(to, x86::rcx);
    } else if (value.value != 0) {
      a_.add(to, value.value);
    }
  }
  store(rd, to);
}

void Emitter::finish_word(u8 rd, const x86::Gp& value) {
  const x86::Gp to = target(rd, x86::rax);
  a_.movsxd(to, value.r32());
  store(rd, to);
}

// rd = rs1 OP rs2. The second operand may stay in memory; the target may be either source's home.
void Emitter::binary(const isa::Insn& insn, u32 id, Commutes commutes, u32 width) {
  u8 first = insn.rs1, second = insn.rs2;
  x86::Gp to = target(insn.rd, x86::rax);
  if (second != 0 && homes_.has(second) && homes_.integer(second) == to && first != second) {
    if (commutes == Commutes::kYes) {
      std::swap(first, second);
    } else {
      to = x86::rax;
    }
  }
  if (first == 0 || !homes_.has(first) || homes_.integer(first) != to) load(to, first);
  const auto sized = [&](const x86::Gp& reg) { return width == 8 ? reg : reg.r32(); };
  if (second == 0) {
    a_.xor_(x86::ecx, x86::ecx);
    a_.emit(id, sized(to), sized(x86::rcx));
  } else if (homes_.has(second)) {
    a_.emit(id, sized(to), sized(homes_.integer(second)));
  } else {
    a_.emit(id, sized(to), state_x(second, width));
  }
  if (width == 4) return finish_word(insn.rd, to);
  store(insn.rd, to);
}

void Emitter::binary_not(const isa::Insn& insn, u32 id) {
  load(x86::rax, insn.rs2);
  a_.not_(x86::rax);
  a_.emit(id, x86::rax, use(insn.rs1, x86::rcx));
  store(insn.rd, x86::rax);
}

void Emitter::immediate(const isa::Insn& insn, u32 id, u32 width) {
  const x86::Gp to = target(insn.rd, x86::rax);
  if (insn.rs1 == 0 || !homes_.has(insn.rs1) || homes_.integer(insn.rs1) != to) load(to, insn.rs1);
  const bool nothing = insn.imm == 0 && (id == Inst::kIdAdd || id == Inst::kIdOr || id == Inst::kIdXor);
  if (!nothing) a_.emit(id, width == 8 ? to : to.r32(), asmjit::imm(insn.imm));
  if (width == 4) return finish_word(insn.rd, to);
  store(insn.rd, to);
}

// lea adds without disturbing its sources.
void Emitter::add(const isa::Insn& insn) {
  const bool has_homes = insn.rs1 != 0 && insn.rs2 != 0 && homes_.has(insn.rs1) && homes_.has(insn.rs2);
  const x86::Gp to = target(insn.rd, x86::rax);
  if (!has_homes || to == homes_.integer(insn.rs1) || to == homes_.integer(insn.rs2)) {
    return binary(insn, Inst::kIdAdd, Commutes::kYes, 8);
  }
  a_.lea(to, x86::ptr(homes_.integer(insn.rs1), homes_.integer(insn.rs2)));
  store(insn.rd, to);
}

void Emitter::set_less(const isa::Insn& insn, bool is_signed) {
  const x86::Gp first = use(insn.rs1, x86::rax);
  if (insn.rs2 == 0) {
    a_.cmp(first, 0);
  } else if (homes_.has(insn.rs2)) {
    a_.cmp(first, homes_.integer(insn.rs2));
  } else {
    a_.cmp(first, state_x(insn.rs2));
  }
  a_.emit(is_signed ? Inst::kIdSetl : Inst::kIdSetb, x86::al);
  const x86::Gp to = target(insn.rd, x86::rax);
  a_.movzx(to.r32(), x86::al);
  store(insn.rd, to);
}

void Emitter::set_less_immediate(const isa::Insn& insn, bool is_signed) {
  a_.cmp(use(insn.rs1, x86::rax), insn.imm);
  a_.emit(is_signed ? Inst::kIdSetl : Inst::kIdSetb, x86::al);
  const x86::Gp to = target(insn.rd, x86::rax);
  a_.movzx(to.r32(), x86::al);
  store(insn.rd, to);
}

bool Emitter::compute(const ir::Step& step) {
  return compute_immediate(step) || compute_register(step) || compute_shift(step) || compute_multiply(step) ||
         compute_bits(step) || compute_single_bit(step);
}

bool Emitter::compute_immediate(const ir::Step& step) {
  const isa::Insn& insn = step.insn;
  switch (insn.op) {
    case Op::addi:
      immediate(insn, Inst::kIdAdd, 8);
      return true;
    case Op::addiw:
      immediate(insn, Inst::kIdAdd, 4);
      return true;
    case Op::xori:
      immediate(insn, Inst::kIdXor, 8);
      return true;
    case Op::ori:
      immediate(insn, Inst::kIdOr, 8);
      return true;
    case Op::andi:
      immediate(insn, Inst::kIdAnd, 8);
      return true;
    case Op::slti:
      set_less_immediate(insn, true);
      return true;
    case Op::sltiu:
      set_less_immediate(insn, false);
      return true;
    case Op::slli:
      shift_immediate(insn, Inst::kIdShl, 8);
      return true;
    case Op::srli:
      shift_immediate(insn, Inst::kIdShr, 8);
      return true;
    case Op::srai:
      shift_immediate(insn, Inst::kIdSar, 8);
      return true;
    case Op::slliw:
      shift_immediate(insn, Inst::kIdShl, 4);
      return true;
    case Op::srliw:
      shift_immediate(insn, Inst::kIdShr, 4);
      return true;
    case Op::sraiw:
      shift_immediate(insn, Inst::kIdSar, 4);
      return true;
    case Op::rori:
      shift_immediate(insn, Inst::kIdRor, 8);
      return true;
    case Op::roriw:
      shift_immediate(insn, Inst::kIdRor, 4);
      return true;
    default:
      return false;
  }
}

bool Emitter::compute_register(const ir::Step& step) {
  const isa::Insn& insn = step.insn;
  switch (insn.op) {
    case Op::add:
      add(insn);
      return true;
    case Op::addw:
      binary(insn, Inst::kIdAdd, Commutes::kYes, 4);
      return true;
    case Op::sub:
      binary(insn, Inst::kIdSub, Commutes::kNo, 8);
      return true;
    case Op::subw:
      binary(insn, Inst::kIdSub, Commutes::kNo, 4);
      return true;
    case Op::and_:
      binary(insn, Inst::kIdAnd, Commutes::kYes, 8);
      return true;
    case Op::or_:
      binary(insn, Inst::kIdOr, Commutes::kYes, 8);
      return true;
    case Op::xor_:
      binary(insn, Inst::kIdXor, Commutes::kYes, 8);
      return true;
    case Op::slt:
      set_less(insn, true);
      return true;
    case Op::sltu:
      set_less(insn, false);
      return true;
    default:
      return false;
  }
}

bool Emitter::compute_shift(const ir::Step& step) {
  const isa::Insn& insn = step.insn;
  switch (insn.op) {
    case Op::sll:
      shift(insn, Inst::kIdShl, Inst::kIdShlx, 8);
      return true;
    case Op::srl:
      shift(insn, Inst::kIdShr, Inst::kIdShrx, 8);
      return true;
    case Op::sra:
      shift(insn, Inst::kIdSar, Inst::kIdSarx, 8);
      return true;
    case Op::sllw:
      shift(insn, Inst::kIdShl, Inst::kIdShlx, 4);
      return true;
    case Op::srlw:
      shift(insn, Inst::kIdShr, Inst::kIdShrx, 4);
      return true;
    case Op::sraw:
      shift(insn, Inst::kIdSar, Inst::kIdSarx, 4);
      return true;
    case Op::rol:
      rotate(insn, Inst::kIdRol, 8);
      return true;
    case Op::ror:
      rotate(insn, Inst::kIdRor, 8);
      return true;
    case Op::rolw:
      rotate(insn, Inst::kIdRol, 4);
      return true;
    case Op::rorw:
      rotate(insn, Inst::kIdRor, 4);
      return true;
    case Op::sh1add:
      shift_add(insn, 1, false);
      return true;
    case Op::sh2add:
      shift_add(insn, 2, false);
      return true;
    case Op::sh3add:
      shift_add(insn, 3, false);
      return true;
    case Op::add_uw:
      shift_add(insn, 0, true);
      return true;
    case Op::sh1add_uw:
      shift_add(insn, 1, true);
      return true;
    case Op::sh2add_uw:
      shift_add(insn, 2, true);
      return true;
    case Op::sh3add_uw:
      shift_add(insn, 3, true);
      return true;
    default:
      return false;
  }
}

}  // namespace cloister::jit::x64
