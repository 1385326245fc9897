// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <functional>
#include <vector>

#include "jit/ir/region.h"
#include "jit/passes/passes.h"
#include "jit/x64/features.h"
#include "jit/x64/homes.h"
#include "jit/x64/registers.h"

namespace cloister::jit::x64 {

// What is known of registers at a point in the code, one bit for each.
struct Knowledge {
  u32 narrow =
      0;  // x registers whose home lacks the sign extension that the value has: its upper half is anything
  u32 words = 0;  // x registers that hold a sign-extended word, narrow ones among them
  u32 boxed = 0;  // f registers that hold a NaN-boxed single
  // f registers that hold a double or a single that, if it is no number, should be the canonical NaN.
  u32 odd_doubles = 0;
  u32 odd_singles = 0;
};

// Emits the host instructions of one guest instruction at a time. It knows where operands live and nothing of
// blocks: compiler.h does control flow, accesses and calls.
//
// A word's sign extension is put off until somebody needs the upper half: the next instruction is mostly one
// on words too. Whoever goes to other code, be it another block, an exit or the host, calls widen_all()
// first.
class Emitter {
 public:
  Emitter(x86::Assembler& a, const Homes& homes, const Features& features)
      : a_(a), homes_(&homes), features_(features) {}

  // Emits an instruction that only computes on registers. False when there is no code for it here.
  bool compute(const ir::Step& step);
  // rd = what is known of it.
  void set_known(u8 rd, ir::Known value);

  Knowledge& knowledge() { return known_; }
  void widen_all();
  bool is_word(u8 reg) const { return reg == 0 || (known_.words >> reg & 1) != 0; }

  // The register that holds x[reg]: its home, or `scratch` loaded with it.
  x86::Gp use(u8 reg, const x86::Gp& scratch);
  // The same where the upper half does not matter.
  x86::Gp use_low(u8 reg, const x86::Gp& scratch);
  void load_low(const x86::Gp& scratch, u8 reg);
  // scratch = x[reg].
  void load(const x86::Gp& scratch, u8 reg);
  // Where to compute a new x[reg]: its home or `scratch`; store() then puts it away.
  x86::Gp target(u8 reg, const x86::Gp& scratch) const;
  void store(u8 reg, const x86::Gp& from);
  // x[reg] = the sign-extended low half of `from`.
  void store_word(u8 reg, const x86::Gp& from);
  // store(), of a value that is a sign-extended word.
  void store_extended(u8 reg, const x86::Gp& from);
  // x[rd] = what a load of this kind finds there.
  void load_from(isa::Op op, u8 rd, const x86::Mem& from);
  // The two operands of a comparison, and the narrowest width at which they compare as they are.
  void compare(u8 first, u8 second);

  // The same for f[reg], all 64 bits.
  x86::Xmm use_float(u8 reg, const x86::Xmm& scratch);
  x86::Xmm target_float(u8 reg, const x86::Xmm& scratch) const;
  void store_float(u8 reg, const x86::Xmm& from);

  x86::Assembler& assembler() { return a_; }
  const Homes& homes() const { return *homes_; }
  void use_homes(const Homes& homes) { homes_ = &homes; }
  const Features& features() const { return features_; }

 private:
  bool compute_register(const ir::Step& step);
  bool compute_shift(const ir::Step& step);
  bool compute_immediate(const ir::Step& step);
  bool compute_multiply(const ir::Step& step);
  bool compute_bits(const ir::Step& step);
  bool compute_single_bit(const ir::Step& step);

  enum class Commutes : bool { kNo, kYes };
  void binary(const isa::Insn& insn, u32 id, Commutes commutes, u32 width);
  void binary_not(const isa::Insn& insn, u32 id);  // a OP ~b
  void add_immediate(const isa::Insn& insn);
  void add(const isa::Insn& insn);
  void shift(const isa::Insn& insn, u32 plain_id, u32 bmi_id, u32 width);
  void shift_immediate(const isa::Insn& insn, u32 id, u32 width);
  void rotate(const isa::Insn& insn, u32 id, u32 width);
  void set_less(const isa::Insn& insn, bool is_signed);
  void set_less_immediate(const isa::Insn& insn, bool is_signed);
  void shift_add(const isa::Insn& insn, u32 shift, bool zero_extends);
  void multiply(const isa::Insn& insn, u32 width);
  void multiply_high(const isa::Insn& insn, bool a_signed, bool b_signed);
  void divide(const isa::Insn& insn, bool is_signed, bool remainder, u32 width);
  void count(const isa::Insn& insn, u32 id, u32 width);
  void min_max(const isa::Insn& insn, u32 move_id);
  void bit(const isa::Insn& insn, u32 id, bool from_register);
  void extract_bit(const isa::Insn& insn, bool from_register);
  void conditional_zero(const isa::Insn& insn, bool when_zero);
  void or_combine(const isa::Insn& insn);
  void extend(const isa::Insn& insn, u32 bits, bool sign);
  void logic(const isa::Insn& insn, u32 id);
  void logic_immediate(const isa::Insn& insn, u32 id);
  void copy(u8 rd, u8 rs);
  void add_word_immediate(const isa::Insn& insn);
  void set_if(u8 rd, u32 condition);

  x86::Assembler& a_;
  const Homes* homes_;
  const Features& features_;
  Knowledge known_;
};

}  // namespace cloister::jit::x64
