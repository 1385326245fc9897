// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <asmjit/x86.h>

#include <cstddef>

#include "hart/state.h"

// Who lives where in translated code.
//
//   rbp              the State, plus kStateBias so that x0..x31 are reached with one-byte displacements
//   r15              State::countdown
//   r14              the host address minus guest address of the open access group; a home where a region has
//   none rax rcx rdx      scratch within one guest instruction the other nine   homes of guest registers,
//   chosen for each region xmm0 xmm1        scratch; the other fourteen are homes of f registers
//
// A guest register without a home lives in the State and is used from there as a memory operand.
namespace cloister::jit::x64 {

namespace x86 = asmjit::x86;

inline constexpr i32 kStateBias = 128;

inline const x86::Gp kState = x86::rbp;
inline const x86::Gp kCountdown = x86::r15;
inline const x86::Gp kGroup = x86::r14;

inline constexpr u32 kIntegerHomes = 9;
inline const x86::Gp kIntegerHome[kIntegerHomes + 1] = {x86::rbx, x86::rsi, x86::rdi, x86::r8,  x86::r9,
                                                        x86::r10, x86::r11, x86::r12, x86::r13, x86::r14};
inline constexpr u32 kFloatHomes = 14;
inline x86::Xmm float_home(u32 index) { return x86::xmm(index + 2); }

inline x86::Mem state_at(std::size_t offset, u32 size = 8) {
  return x86::ptr(kState, static_cast<i32>(offset) - kStateBias, size);
}
inline x86::Mem state_x(u32 reg, u32 size = 8) { return state_at(offsetof(hart::State, x) + reg * 8, size); }
inline x86::Mem state_f(u32 reg, u32 size = 8) { return state_at(offsetof(hart::State, f) + reg * 8, size); }

}  // namespace cloister::jit::x64
