// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "hart/block.h"
#include "hart/state.h"

// The interpreter's handlers: one for each row of isa/rv64.inc, and those of uops that are no instruction.
namespace cloister::hart::op {

void illegal(State& s, const Uop* u, u64 pc);
#define INSN(name, ...) void name(State& s, const Uop* u, u64 pc);
#define C_INSN(...)
#include "isa/rv64.inc"
#undef C_INSN
#undef INSN

// Goes on to the block behind this one.
void end_of_block(State& s, const Uop* u, u64 pc);

// In front of a block that a translator may make faster.
void entrance(State& s, const Uop* u, u64 pc);

// Before a block's first floating-point instruction: is sstatus.FS on, is frm a rounding mode? imm holds the
// instruction's bits and these.
inline constexpr i64 kNeedsRounding = i64{1} << 32;
inline constexpr i64 kDirties = i64{1} << 33;
void check_float(State& s, const Uop* u, u64 pc);

}  // namespace cloister::hart::op
