// SPDX-License-Identifier: Apache-2.0
#include "jit/x64/emitter.h"

#include <bit>

// Operands: where they live, and the instructions that add, subtract, compare and move.
namespace cloister::jit::x64 {

using isa::Op;
namespace Inst = x86::Inst;

void Emitter::load(const x86::Gp& scratch, u8 reg) {
  if (reg == 0) {
    a_.xor_(scratch.r32(), scratch.r32());
  } else if (!homes().has(reg)) {
    a_.mov(scratch, state_x(reg));
  } else if (known_.narrow >> reg & 1) {
    a_.movsxd(scratch, homes().integer(reg).r32());
  } else {
    a_.mov(scratch, homes().integer(reg));
  }
}

void Emitter::load_low(const x86::Gp& scratch, u8 reg) {
  if (reg == 0) {
    a_.xor_(scratch.r32(), scratch.r32());
  } else if (homes().has(reg)) {
    a_.mov(scratch.r32(), homes().integer(reg).r32());
  } else {
    a_.mov(scratch.r32(), state_x(reg, 4));
  }
}

x86::Gp Emitter::use(u8 reg, const x86::Gp& scratch) {
  if (reg != 0 && homes().has(reg)) {
    if (known_.narrow >> reg & 1) a_.movsxd(homes().integer(reg), homes().integer(reg).r32());
    known_.narrow &= ~(1u << reg);
    return homes().integer(reg);
  }
  load(scratch, reg);
  return scratch;
}

x86::Gp Emitter::use_low(u8 reg, const x86::Gp& scratch) {
  if (reg != 0 && homes().has(reg)) return homes().integer(reg);
  load_low(scratch, reg);
  return scratch;
}

void Emitter::widen_all() {
  for (u8 reg = 1; reg < 32; ++reg) {
    if (known_.narrow >> reg & 1) (void)use(reg, x86::rax);
  }
}

x86::Gp Emitter::target(u8 reg, const x86::Gp& scratch) const {
  return reg != 0 && homes().has(reg) ? homes().integer(reg) : scratch;
}

void Emitter::store(u8 reg, const x86::Gp& from) {
  if (reg == 0) return;
  known_.narrow &= ~(1u << reg);
  known_.words &= ~(1u << reg);
  if (!homes().has(reg)) {
    a_.mov(state_x(reg), from);
  } else if (homes().integer(reg) != from) {
    a_.mov(homes().integer(reg), from);
  }
}

void Emitter::store_extended(u8 reg, const x86::Gp& from) {
  store(reg, from);
  if (reg != 0) known_.words |= 1u << reg;
}

void Emitter::store_word(u8 reg, const x86::Gp& from) {
  if (reg == 0) return;
  if (!homes().has(reg)) {
    a_.movsxd(x86::rax, from.r32());
    return store_extended(reg, x86::rax);
  }
  if (homes().integer(reg) != from) a_.mov(homes().integer(reg).r32(), from.r32());
  known_.narrow |= 1u << reg;
  known_.words |= 1u << reg;
}

void Emitter::load_from(Op op, u8 rd, const x86::Mem& from) {
  const x86::Gp to = target(rd, x86::rax);
  switch (op) {
    case Op::lb:
      a_.movsx(to, from);
      break;
    case Op::lbu:
      a_.movzx(to.r32(), from);
      break;
    case Op::lh:
      a_.movsx(to, from);
      break;
    case Op::lhu:
      a_.movzx(to.r32(), from);
      break;
    case Op::lw:
      a_.movsxd(to, from);
      break;
    case Op::lwu:
      a_.mov(to.r32(), from);
      break;
    default:
      a_.mov(to, from);
      break;
  }
  const bool is_wide = op == Op::ld || op == Op::lwu;
  is_wide ? store(rd, to) : store_extended(rd, to);
}

// Sign extension keeps the order of words, with sign and without: so two words compare by their lower halves.
void Emitter::compare(u8 first, u8 second) {
  const bool words = is_word(first) && is_word(second);
  const auto sized = [words](const x86::Gp& reg) { return words ? reg.r32() : reg; };
  const x86::Gp left = words ? use_low(first, x86::rax) : use(first, x86::rax);
  if (second == 0) {
    a_.test(sized(left), sized(left));
  } else if (homes().has(second)) {
    a_.cmp(sized(left), sized(words ? homes().integer(second) : use(second, x86::rcx)));
  } else {
    a_.cmp(sized(left), state_x(second, words ? 4 : 8));
  }
}

x86::Xmm Emitter::use_float(u8 reg, const x86::Xmm& scratch) {
  if (homes().has(32u + reg)) return homes().floating(32u + reg);
  a_.movsd(scratch, state_f(reg));
  return scratch;
}

x86::Xmm Emitter::target_float(u8 reg, const x86::Xmm& scratch) const {
  return homes().has(32u + reg) ? homes().floating(32u + reg) : scratch;
}

void Emitter::store_float(u8 reg, const x86::Xmm& from) {
  if (!homes().has(32u + reg)) {
    a_.movsd(state_f(reg), from);
  } else if (homes().floating(32u + reg) != from) {
    a_.movaps(homes().floating(32u + reg), from);
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
    if (value.value == static_cast<i32>(value.value)) return store_extended(rd, to);
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

// rd = rs1 OP rs2. The second operand may stay in memory; the target may be either source's home.
void Emitter::binary(const isa::Insn& insn, u32 id, Commutes commutes, u32 width) {
  const bool wide = width == 8;
  const auto sized = [wide](const x86::Gp& reg) { return wide ? reg : reg.r32(); };
  u8 first = insn.rs1, second = insn.rs2;
  x86::Gp to = target(insn.rd, x86::rax);
  if (second != 0 && homes().has(second) && homes().integer(second) == to && first != second) {
    if (commutes == Commutes::kYes) {
      std::swap(first, second);
    } else {
      to = x86::rax;
    }
  }
  if (wide && second != 0 && homes().has(second)) (void)use(second, x86::rcx);
  if (first == insn.rd && homes().has(first) && first != 0 && to != x86::rax) {
    if (wide) (void)use(first, x86::rax);
  } else {
    wide ? load(to, first) : load_low(to, first);
  }
  if (second == 0) {
    a_.xor_(x86::ecx, x86::ecx);
    a_.emit(id, sized(to), sized(x86::rcx));
  } else if (homes().has(second)) {
    a_.emit(id, sized(to), sized(homes().integer(second)));
  } else {
    a_.emit(id, sized(to), state_x(second, width));
  }
  wide ? store(insn.rd, to) : store_word(insn.rd, to);
}

// Bit by bit: of words a word.
void Emitter::logic(const isa::Insn& insn, u32 id) {
  if (insn.rs1 == 0 && id != Inst::kIdAnd) return copy(insn.rd, insn.rs2);
  if (insn.rs2 == 0 && id != Inst::kIdAnd) return copy(insn.rd, insn.rs1);
  binary(insn, id, Commutes::kYes, is_word(insn.rs1) && is_word(insn.rs2) ? 4 : 8);
}

void Emitter::copy(u8 rd, u8 rs) {
  if (rd == rs) return;
  if (is_word(rs)) return store_word(rd, use_low(rs, x86::rax));
  store(rd, use(rs, x86::rax));
}

void Emitter::binary_not(const isa::Insn& insn, u32 id) {
  load(x86::rax, insn.rs2);
  a_.not_(x86::rax);
  a_.emit(id, x86::rax, use(insn.rs1, x86::rcx));
  store(insn.rd, x86::rax);
}

void Emitter::logic_immediate(const isa::Insn& insn, u32 id) {
  if (insn.imm == 0 && id != Inst::kIdAnd) return copy(insn.rd, insn.rs1);
  // What is not negative has no upper half; nor has what is AND with it.
  const bool clears = id == Inst::kIdAnd && insn.imm >= 0;
  const bool low = clears || is_word(insn.rs1);
  const x86::Gp to = target(insn.rd, x86::rax);
  if (insn.rs1 != insn.rd || !homes().has(insn.rd) || insn.rd == 0) {
    low ? load_low(to, insn.rs1) : load(to, insn.rs1);
  } else if (!low) {
    (void)use(insn.rs1, x86::rax);
  }
  a_.emit(id, low ? to.r32() : to, asmjit::imm(insn.imm));
  if (clears) return store_extended(insn.rd, to);
  low ? store_word(insn.rd, to) : store(insn.rd, to);
}

// lea adds without disturbing its sources.
void Emitter::add(const isa::Insn& insn) {
  if (insn.rs1 == 0) return copy(insn.rd, insn.rs2);
  if (insn.rs2 == 0) return copy(insn.rd, insn.rs1);
  const bool has_homes = homes().has(insn.rs1) && homes().has(insn.rs2);
  const x86::Gp to = target(insn.rd, x86::rax);
  if (!has_homes || to == homes().integer(insn.rs1) || to == homes().integer(insn.rs2)) {
    return binary(insn, Inst::kIdAdd, Commutes::kYes, 8);
  }
  a_.lea(to, x86::ptr(use(insn.rs1, x86::rax), use(insn.rs2, x86::rcx)));
  store(insn.rd, to);
}

void Emitter::add_immediate(const isa::Insn& insn) {
  if (insn.imm == 0) return copy(insn.rd, insn.rs1);
  const x86::Gp to = target(insn.rd, x86::rax);
  const x86::Gp from = use(insn.rs1, x86::rax);
  if (from == to) {
    a_.add(to, insn.imm);
  } else {
    a_.lea(to, x86::ptr(from, insn.imm));
  }
  store(insn.rd, to);
}

void Emitter::add_word_immediate(const isa::Insn& insn) {
  if (insn.imm == 0) {
    if (insn.rs1 == insn.rd && is_word(insn.rd)) return;
    return store_word(insn.rd, use_low(insn.rs1, x86::rax));
  }
  const x86::Gp to = target(insn.rd, x86::rax);
  const x86::Gp from = use_low(insn.rs1, x86::rax);
  if (from == to) {
    a_.add(to.r32(), insn.imm);
  } else {
    a_.lea(to.r32(), x86::ptr(from, insn.imm));
  }
  store_word(insn.rd, to);
}

void Emitter::set_if(u8 rd, u32 condition) {
  a_.emit(condition, x86::al);
  const x86::Gp to = target(rd, x86::rax);
  a_.movzx(to.r32(), x86::al);
  store_extended(rd, to);
}

void Emitter::set_less(const isa::Insn& insn, bool is_signed) {
  if (insn.rs1 == 0 && !is_signed) {  // snez
    const x86::Gp value = use(insn.rs2, x86::rax);
    a_.test(value, value);
    return set_if(insn.rd, Inst::kIdSetne);
  }
  if (insn.rs2 == 0) {
    a_.cmp(use(insn.rs1, x86::rax), 0);
  } else {
    compare(insn.rs1, insn.rs2);
  }
  set_if(insn.rd, is_signed ? Inst::kIdSetl : Inst::kIdSetb);
}

void Emitter::set_less_immediate(const isa::Insn& insn, bool is_signed) {
  const bool word = is_word(insn.rs1);
  const x86::Gp value = word ? use_low(insn.rs1, x86::rax).r32() : use(insn.rs1, x86::rax);
  a_.cmp(value, insn.imm);
  set_if(insn.rd, is_signed ? Inst::kIdSetl : Inst::kIdSetb);
}

bool Emitter::compute(const ir::Step& step) {
  return compute_immediate(step) || compute_register(step) || compute_shift(step) || compute_multiply(step) ||
         compute_bits(step) || compute_single_bit(step);
}

bool Emitter::compute_immediate(const ir::Step& step) {
  const isa::Insn& insn = step.insn;
  switch (insn.op) {
    case Op::addi:
      add_immediate(insn);
      return true;
    case Op::addiw:
      add_word_immediate(insn);
      return true;
    case Op::xori:
      logic_immediate(insn, Inst::kIdXor);
      return true;
    case Op::ori:
      logic_immediate(insn, Inst::kIdOr);
      return true;
    case Op::andi:
      logic_immediate(insn, Inst::kIdAnd);
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
      logic(insn, Inst::kIdAnd);
      return true;
    case Op::or_:
      logic(insn, Inst::kIdOr);
      return true;
    case Op::xor_:
      logic(insn, Inst::kIdXor);
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
