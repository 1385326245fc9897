// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <asmjit/x86.h>

#include <cstddef>

#include "hart/state.h"
#include "jit/ir/region.h"

// Who lives where in translated code.
//
//   rbp              the State, plus kStateBias so that x0..x31 are reached with one-byte displacements
//   r15              State::countdown
//   rax rcx rdx      scratch within one guest instruction
//   the other ten    homes of guest registers, chosen for each region
//   xmm0 xmm1        scratch; the other fourteen are homes of f registers
//   rsp              the frame: what look-ups found, by slot, and a scratch word
//
// A guest register without a home lives in the State and is used from there as a memory operand.
namespace cloister::jit::x64 {

namespace x86 = asmjit::x86;

inline constexpr i32 kStateBias = 128;

inline const x86::Gp kState = x86::rbp;
inline const x86::Gp kCountdown = x86::r15;

inline constexpr u32 kIntegerHomes = 10;
inline const x86::Gp kIntegerHome[kIntegerHomes] = {x86::rbx, x86::rsi, x86::rdi, x86::r8,  x86::r9,
                                                    x86::r10, x86::r11, x86::r12, x86::r13, x86::r14};
inline constexpr u32 kFloatHomes = 14;
inline x86::Xmm float_home(u32 index) { return x86::xmm(index + 2); }

inline x86::Mem state_at(std::size_t offset, u32 size = 8) {
  return x86::ptr(kState, static_cast<i32>(offset) - kStateBias, size);
}
inline x86::Mem state_x(u32 reg, u32 size = 8) { return state_at(offsetof(hart::State, x) + reg * 8, size); }
inline x86::Mem state_f(u32 reg, u32 size = 8) { return state_at(offsetof(hart::State, f) + reg * 8, size); }

// What groups' look-ups found, by slot: an address A may be accessed at A + addend if A - page is below
// limit, where A is what the group's first base register held. A limit of 0 fits no address.
struct Frame {
  u64 limit[ir::kGroupSlots];
  u64 page[ir::kGroupSlots];
  u64 addend[ir::kGroupSlots];
  u64 scratch;
  i64 stretch_end;  // of a loop's checked stretch: what the countdown is behind its last round
  u64 unused;
};
// With the six registers that enter() saves and its return address, the stack is aligned for calls.
static_assert((sizeof(Frame) + 7 * 8) % 16 == 0);

inline x86::Mem frame_at(std::size_t offset, u32 size = 8) {
  return x86::ptr(x86::rsp, static_cast<i32>(offset), size);
}
inline x86::Mem limit_at(u16 slot) { return frame_at(offsetof(Frame, limit) + slot * sizeof(u64)); }
inline x86::Mem page_at(u16 slot) { return frame_at(offsetof(Frame, page) + slot * sizeof(u64)); }
inline x86::Mem addend_at(u16 slot) { return frame_at(offsetof(Frame, addend) + slot * sizeof(u64)); }

}  // namespace cloister::jit::x64
