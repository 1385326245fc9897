// SPDX-License-Identifier: Apache-2.0
#include "isa/properties.h"
#include "jit/passes/passes.h"

namespace cloister::jit::passes {
namespace {

using isa::MemoryUse;
using isa::RegisterClass;

u64 bit(RegisterClass kind, u8 number) {
  if (kind == RegisterClass::kFloat) return u64{1} << (32 + number);
  if (kind == RegisterClass::kInteger && number != 0) return u64{1} << number;
  return 0;
}

}  // namespace

Effects effects(const ir::Step& step) {
  const isa::Properties& p = isa::properties(step.insn.op);
  Effects result;
  result.writes = bit(p.rd, step.insn.rd);
  result.reads = bit(p.rs1, step.insn.rs1) | bit(p.rs2, step.insn.rs2) | bit(p.rs3, step.insn.rs3);
  if (step.result && p.format != isa::Format::kJalr) result.reads = 0;
  return result;
}

bool can_leave(const ir::Step& step) {
  const isa::Properties& p = isa::properties(step.insn.op);
  if (p.memory != MemoryUse::kNone || p.is_float() || p.ends_block) return true;
  switch (p.format) {
    case isa::Format::kR:
    case isa::Format::kR1:
    case isa::Format::kI:
    case isa::Format::kU:
      return false;
    default:
      return true;
  }
}

}  // namespace cloister::jit::passes
