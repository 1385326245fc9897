// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "hart/fp_state.h"
#include "jit/x64/region_code.h"

// frflags and fsflags, which compilers put around each comparison of doubles that may be NaN.
//
// The guest's flags are what State::fflags says, what the host's unit has gathered since, and what the
// interpreter's software has. To read them is to put the three together. To write them almost always means to
// put back what was read just before, and then there is nothing to do; else the interpreter does it.
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

// Leaves them in eax.
void RegionCode::gather_flags() {
  const x86::Mem mxcsr = frame_at(offsetof(Frame, scratch), 4);
  a_.stmxcsr(mxcsr);
  a_.mov(x86::eax, mxcsr);
  a_.and_(x86::eax, 63);
  a_.mov(x86::rcx, asmjit::imm(kFlagsByMxcsr.data()));
  a_.movzx(x86::eax, x86::byte_ptr(x86::rcx, x86::rax));
  a_.or_(x86::al, state_at(offsetof(hart::State, fflags), 1));
  a_.mov(x86::rcx, state_at(offsetof(hart::State, float_unit)));
  a_.or_(x86::al, x86::byte_ptr(x86::rcx, offsetof(hart::fp::ThreadState, flags)));
}

void RegionCode::emit_flags_access(const Here& here) {
  const isa::Insn& insn = here.current().insn;
  gather_flags();
  if (insn.op == isa::Op::csrrs) {
    emit_.store_extended(insn.rd, x86::rax);
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
