// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <vector>

#include "hart/hart.h"
#include "isa/encode.h"
#include "isa/registers.h"
#include "memory/guest_memory.h"

namespace cloister::isa_tests {

using isa::Insn;
using isa::Op;
namespace reg = isa::reg;

// Guest code, instruction by instruction.
class Program {
 public:
  Program& operator<<(const Insn& insn) { return *this << isa::encode(insn); }
  Program& operator<<(u32 bits) {
    half(static_cast<u16>(bits));
    return half(static_cast<u16>(bits >> 16));
  }
  Program& operator<<(const Program& more);
  Program& half(u16 bits) {
    halves_.push_back(bits);
    return *this;
  }

  const std::vector<u16>& halves() const { return halves_; }
  u64 size() const { return halves_.size() * sizeof(u16); }

 private:
  std::vector<u16> halves_;
};

// How a program ended: by itself, or in a trap.
struct Outcome {
  bool trapped = false;
  u64 cause = 0, tval = 0, epc = 0;  // of the trap
  u64 fcsr = 0;                      // after the last instruction, when not trapped
  u32 waits = 0;                     // times that run() came back with kWait
};

// One hart with some memory and nothing else. Programs may use all registers but x24 to x31; these
// belong to what runs before and after them.
class TestMachine final : public hart::Environment {
 public:
  static constexpr u64 kBase = 0x8000'0000;
  static constexpr u64 kSize = 16 * kMiB;
  static constexpr u64 kHandler = kBase + 0x1000;  // where traps go
  static constexpr u64 kCode = kBase + 0x2000;     // the prologue, and behind it the program
  static constexpr u64 kData = kBase + 0x10'0000;
  static constexpr u64 kTables = kBase + 0x20'0000;
  static constexpr u64 kDevice = 0x1000'0000;

  TestMachine();

  hart::Hart& hart() { return *hart_; }
  memory::GuestMemory& memory() { return *memory_; }

  // What fcsr holds when the program begins; all flags clear and rounding to nearest if not said.
  void set_fcsr(u64 value) { fcsr_ = value; }
  // The program starts with the floating-point unit off.
  void switch_float_off() { float_on_ = false; }

  // Runs in S-mode, without paging, until the end of `program`. Registers keep what they held.
  Outcome run(const Program& program);
  // Where the instruction stands that follows `before` in a program.
  static u64 address_after(const Program& before) { return kCode + prologue().size() + before.size(); }

  void set_reg(u32 index, u64 value) { hart_->set_reg(index, value); }
  u64 reg(u32 index) const { return hart_->reg(index); }

  void store(u64 address, u64 value, u32 size = 8);
  u64 load(u64 address, u32 size = 8);

  // -- Environment

  u64 time() override { return now; }
  bool device_load(GuestPhys address, u32 size, u64& value) override;
  bool device_store(GuestPhys address, u32 size, u64 value) override;
  void supervisor_call(hart::Hart& hart) override;
  void timer_changed(hart::Hart& hart, u64 deadline) override;

  u64 now = 1000;
  u64 deadline = ~u64{0};

 private:
  static const Program& prologue();
  void place(u64 address, const Program& program);
  bool done_ = false;
  bool float_on_ = true;
  u64 fcsr_ = 0;
  std::unique_ptr<memory::GuestMemory> memory_;
  std::unique_ptr<hart::Hart> hart_;
};

// Puts a constant into a register, whatever it is: lui, addi, slli and so on.
Program load_constant(u8 rd, u64 value);
Insn read_csr(u8 rd, u32 number);
Insn write_csr(u32 number, u8 rs1);

}  // namespace cloister::isa_tests
