// SPDX-License-Identifier: Apache-2.0
#include "jit/passes/sums.h"

#include "isa/properties.h"

namespace cloister::jit::passes {

using ir::Sum;
using isa::Op;

namespace {

MaybeSum sum(const MaybeSum& a, const MaybeSum& b) {
  if (!a || !b) return std::nullopt;
  const i64 offset = a->offset + b->offset;
  if (a->scaled == 0 && a->plain == 0) return b->plus(a->offset);
  if (b->scaled == 0 && b->plain == 0) return a->plus(b->offset);
  if (a->scaled == 0 && b->scaled == 0) return Sum{a->plain, 0, b->plain, offset};
  if (a->plain == 0 && b->scaled == 0) return Sum{a->scaled, a->shift, b->plain, offset};
  if (b->plain == 0 && a->scaled == 0) return Sum{b->scaled, b->shift, a->plain, offset};
  return std::nullopt;
}

}  // namespace

Registers::Registers() {
  for (u8 reg = 0; reg < 32; ++reg) values_[reg] = Sum{0, 0, reg, 0};
}

void Registers::forget(u32 registers) {
  for (u8 reg = 1; reg < 32; ++reg) {
    if (registers >> reg & 1) values_[reg] = std::nullopt;
  }
}

void Registers::execute(const ir::Step& step) {
  const isa::Insn& insn = step.insn;
  if (isa::properties(insn.op).rd != isa::RegisterClass::kInteger || insn.rd == 0) return;
  values_[insn.rd] = evaluate(step);
}

MaybeSum Registers::evaluate(const ir::Step& step) const {
  const isa::Insn& insn = step.insn;
  if (step.result.kind == ir::Known::Kind::kValue) return Sum{0, 0, 0, step.result.value};
  switch (insn.op) {
    case Op::addi:
      return values_[insn.rs1] ? MaybeSum(values_[insn.rs1]->plus(insn.imm)) : std::nullopt;
    case Op::slli:
      return insn.imm < 8 ? sum(scaled(insn.rs1, insn.imm), Sum{}) : std::nullopt;
    case Op::add:
      return sum(values_[insn.rs1], values_[insn.rs2]);
    case Op::sh1add:
      return sum(scaled(insn.rs1, 1), values_[insn.rs2]);
    case Op::sh2add:
      return sum(scaled(insn.rs1, 2), values_[insn.rs2]);
    case Op::sh3add:
      return sum(scaled(insn.rs1, 3), values_[insn.rs2]);
    default:
      return std::nullopt;
  }
}

MaybeSum Registers::scaled(u8 reg, i32 shift) const {
  const MaybeSum& value = values_[reg];
  if (!value || value->scaled != 0) return std::nullopt;
  return Sum{value->plain, static_cast<u8>(shift), 0, value->offset * (i64{1} << shift)};
}

MaybeSum a_round_later(const Sum& value, const Registers& end) {
  const MaybeSum &scaled = end[value.scaled], &plain = end[value.plain];
  if (!scaled || !plain || scaled->scaled != 0 || plain->scaled != 0) return std::nullopt;
  return Sum{scaled->plain, value.shift, plain->plain,
             value.offset + scaled->offset * (i64{1} << value.shift) + plain->offset};
}

}  // namespace cloister::jit::passes
