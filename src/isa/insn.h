// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "base/units.h"

namespace cloister::isa {

// One value for each row of isa/rv64.inc, named by the mnemonic with dots as underscores: kAdd is
// written Op::add, amoadd.w.aqrl's row is amoadd_w. Compressed rows have no value of their own: they
// decode to the instruction that they abbreviate (length 2).
enum class Op : u16 {
  illegal,
#define INSN(name, ...) name,
#define C_INSN(...)
#include "isa/rv64.inc"
#undef C_INSN
#undef INSN
  kCount,
};

// A decoded instruction. Fields that the format lacks are 0.
struct Insn {
  Op op = Op::illegal;
  u8 rd = 0;
  u8 rs1 = 0;  // also the 5-bit immediate of csrr*i
  u8 rs2 = 0;
  u8 rs3 = 0;
  u8 rm = 0;  // floating-point rounding mode field (7: dynamic); for fence: fm << 8 | pred << 4 | succ in imm
  u8 aqrl = 0;    // bit 1: aq, bit 0: rl
  u8 length = 4;  // 2 or 4 bytes
  i32 imm = 0;    // sign-extended; the CSR number for Zicsr; the shift amount for shifts

  constexpr bool operator==(const Insn&) const = default;
};

// What the low bits of `bits` say; of a compressed instruction only the low 16 count. Never fails:
// what is no instruction of the machine of docs/architecture.md is Op::illegal, with its length.
Insn decode(u32 bits);

// A basic block ends after such an instruction: it may jump, trap always, or change what is decoded next.
bool ends_block(Op op);

// "addi a0, a0, 1" in the assembler manual's notation; branch targets are absolute, from `pc`.
std::string disassemble(const Insn& insn, u64 pc);
const char* mnemonic(Op op);

}  // namespace cloister::isa
