// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "hart/fp_state.h"
#include "jit/x64/region_code.h"

// frflags and fsflags, which compilers put around each comparison of doubles that may be NaN.
//
// The guest's flags are what State::fflags says, what the host's unit has gathered since, and what the
// interpreter's software has. To read them is to put the three together, or the first and the last while the
// unit traps before it has a new one (hart/fp_state.h): to read the unit's is slow. To write them almost
// always means to put back what was read just before, and then there is nothing to do; else the interpreter
// does it.
//
// A comparison between the two raises a flag only for operands that are unordered. So where they stand in a
// row, what would write the flags looks at the comparison's outcome instead of at the flags.
namespace cloister::jit::x64 {

namespace {

// RISC-V's flags by MXCSR's low six bits: invalid, (denormal,) division by zero, overflow, underflow,
// inexact.
constexpr std::array<u8, 64> flags_by_mxcsr() {
  std::array<u8, 64> table{};
  for (u32 i = 0; i < 64; ++i) {
    table[i] =
        static_cast<u8>((i & 1) << 4 | (i >> 2 & 1) << 3 | (i >> 3 & 1) << 2 | (i >> 4 & 1) << 1 | i >> 5);
  }
  return table;
}
constexpr std::array<u8, 64> kFlagsByMxcsr = flags_by_mxcsr();

}  // namespace

// Leaves them in eax. While the unit watches its flags, it has none that the State lacks.
void RegionCode::gather_flags(const Here& here) {
  const Label look = a_.newLabel(), back = a_.newLabel();
  a_.mov(x86::rcx, state_at(offsetof(hart::State, float_unit)));
  a_.movzx(x86::eax, state_at(offsetof(hart::State, fflags), 1));
  a_.or_(x86::al, x86::byte_ptr(x86::rcx, offsetof(hart::fp::ThreadState, flags)));
  a_.cmp(x86::byte_ptr(x86::rcx, offsetof(hart::fp::ThreadState, watched)), 0);
  a_.je(look);
  a_.bind(back);
  later([this, here, look, back] {
    const Label enough = a_.newLabel();
    a_.bind(look);
    a_.sub(x86::word_ptr(x86::rcx, offsetof(hart::fp::ThreadState, patience)), 1);
    a_.js(enough);
    const x86::Mem mxcsr = frame_at(offsetof(Frame, scratch), 4);
    a_.stmxcsr(mxcsr);
    a_.mov(x86::ecx, mxcsr);
    a_.and_(x86::ecx, 63);
    a_.mov(x86::rdx, asmjit::imm(kFlagsByMxcsr.data()));
    a_.or_(x86::al, x86::byte_ptr(x86::rdx, x86::rcx));
    a_.jmp(back);
    a_.bind(enough);
    call_last_handler(here);
  });
}

// The next block, if all that it does is to compare and to write back the flags that were just read. Where
// operands are unordered it runs as it stands.
bool RegionCode::emit_quiet_comparison(const Here& here) {
  if (here.block->next == ir::kLeaves) return false;
  const u32 index = static_cast<u32>(here.block->next);
  const ir::Block& block = region_.blocks[index];
  if (loop_heads_[index] || block.steps.size() != 2 || !ir::is_flags_access(block.steps[1])) return false;
  const isa::Insn &compares = block.steps[0].insn, &writes = block.steps[1].insn;
  const u8 flags = here.current().insn.rd;
  const bool less = compares.op == isa::Op::flt_d;
  if ((!less && compares.op != isa::Op::fle_d) || writes.op != isa::Op::csrrw || writes.rs1 != flags ||
      flags == 0 || compares.rd == flags)
    return false;
  const Label unordered = a_.newLabel();
  const x86::Xmm a = emit_.use_float(compares.rs1, x86::xmm0), b = emit_.use_float(compares.rs2, x86::xmm1);
  a_.comisd(b, a);
  a_.jp(unordered);
  less ? a_.seta(x86::al) : a_.setae(x86::al);
  const x86::Gp to = emit_.target(compares.rd, x86::rax);
  a_.movzx(to.r32(), x86::al);
  emit_.store_extended(compares.rd, to);
  a_.sub(kCountdown, 2);
  a_.mov(state_at(offsetof(hart::State, fs), 1), 3);
  later([this, unordered, index] {
    a_.bind(unordered);
    a_.jmp(block_labels_[index]);
  });
  const Here there{&block, index, 1, false};
  go_to(there, block.next, block.end);
  return true;
}

void RegionCode::emit_flags_access(const Here& here) {
  const isa::Insn& insn = here.current().insn;
  gather_flags(here);
  if (insn.op == isa::Op::csrrs) {
    emit_.store_extended(insn.rd, x86::rax);
    if (emit_quiet_comparison(here)) return;
  } else {
    const Label otherwise = a_.newLabel();
    emit_.load(x86::rdx, insn.rs1);
    a_.and_(x86::edx, 31);
    a_.cmp(x86::eax, x86::edx);
    a_.jne(otherwise);
    a_.mov(state_at(offsetof(hart::State, fs), 1), 3);
    later([this, here, otherwise] {
      a_.bind(otherwise);
      call_last_handler(here);
    });
  }
  go_to(here, here.block->next, here.block->end);
}

}  // namespace cloister::jit::x64
