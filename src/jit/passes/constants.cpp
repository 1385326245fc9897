// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "isa/properties.h"
#include "jit/passes/passes.h"

namespace cloister::jit::passes {
namespace {

using ir::Known;
using isa::Op;

i64 wrap_add(i64 a, i64 b) { return static_cast<i64>(static_cast<u64>(a) + static_cast<u64>(b)); }
i64 word(i64 a) { return static_cast<i32>(a); }

// The registers' known values within one block.
class Values {
 public:
  Known of(u8 reg) const { return reg == 0 ? Known::of(0) : known_[reg]; }
  void set(u8 reg, Known value) { known_[reg] = value; }

 private:
  std::array<Known, 32> known_{};
};

// base + offset, whatever kind base is of.
Known plus(Known base, i64 offset) {
  if (!base) return {};
  return {base.kind, wrap_add(base.value, offset)};
}

Known evaluate(const ir::Step& step, const Values& values) {
  const isa::Insn& insn = step.insn;
  const Known a = values.of(insn.rs1);
  const bool plain = a.kind == Known::Kind::kValue;
  switch (insn.op) {
    case Op::lui:
      return Known::of(insn.imm);
    case Op::auipc:
      return Known::page_relative(wrap_add(step.offset, insn.imm));
    case Op::addi:
      return plus(a, insn.imm);
    case Op::addiw:
      return plain ? Known::of(word(wrap_add(a.value, insn.imm))) : Known{};
    case Op::slli:
      return plain ? Known::of(static_cast<i64>(static_cast<u64>(a.value) << insn.imm)) : Known{};
    case Op::ori:
      return plain ? Known::of(a.value | insn.imm) : Known{};
    case Op::xori:
      return plain ? Known::of(a.value ^ insn.imm) : Known{};
    case Op::andi:
      return plain ? Known::of(a.value & insn.imm) : Known{};
    case Op::jal:
    case Op::jalr:
      return Known::page_relative(step.offset + insn.length);
    default:
      return {};
  }
}

void visit(ir::Block& block) {
  Values values;
  for (ir::Step& step : block.steps) {
    if (step.insn.op == Op::jalr) step.target = plus(values.of(step.insn.rs1), step.insn.imm);
    step.result = evaluate(step, values);
    if (isa::properties(step.insn.op).rd == isa::RegisterClass::kInteger)
      values.set(step.insn.rd, step.result);
  }
}

}  // namespace

void find_constants(ir::Region& region) {
  for (ir::Block& block : region.blocks) visit(block);
}

}  // namespace cloister::jit::passes
