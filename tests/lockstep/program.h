// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <string>
#include <vector>

#include "base/units.h"
#include "isa/insn.h"

// A random program is a row of snippets: short pieces of straight code with forward jumps, each run from
// several initial states, each of these with its own memory. What a snippet does to a state is a pure
// function of it, so two machines that run the program must leave the same states.
namespace cloister::lockstep {

inline constexpr u64 kScratchBytes = 512;
inline constexpr i32 kScratchBelowBase = 128;  // so that negative offsets are used as well
inline constexpr i32 kScratchAboveBase = i32{kScratchBytes} - kScratchBelowBase;

// All that a snippet can read or write, in the form in which it lies in the guest's memory.
struct State {
  std::array<u8, kScratchBytes> scratch = {};
  std::array<u64, 32> x = {};
  std::array<u64, 32> f = {};
  u64 fcsr = 0;

  bool operator==(const State&) const = default;
};
static_assert(sizeof(State) == kScratchBytes + 65 * 8);

inline constexpr i32 kNowhere = -1;

struct Instruction {
  u32 bits = 0;
  isa::Insn insn;  // what `bits` mean
  // Where it jumps to: the index of an instruction of the snippet, its size for the end. The immediate is
  // put in when addresses are known: of this instruction relative to that `relative_to` stands at.
  i32 target = kNowhere;
  i32 relative_to = kNowhere;
  // The middle of a sequence that makes sense as a whole only: nobody jumps here.
  bool glued = false;
};

// A register that holds an address in the snippet's scratch memory, and is never written.
struct Pointer {
  u8 reg = 0;
  i32 offset = 0;  // from the base, in [-kScratchBelowBase, kScratchAboveBase)
};

struct Snippet {
  std::vector<Instruction> code;
  std::vector<Pointer> pointers;  // the first is the base: at offset 0, and in one of kBaseRegisters
  // x31 is the snippet's own address and pointers are addresses: these are put in by the linker.
  std::vector<State> initial;
};

// The registers of which one holds a snippet's base: sp, for the instructions that imply it, and two that
// compressed instructions can name.
inline constexpr std::array<u8, 3> kBaseRegisters = {2, 8, 15};

using Program = std::vector<Snippet>;

// One of a program's initial states; they are counted through all snippets.
struct Run {
  u32 snippet = 0;
  u32 state = 0;
};
Run run_of(const Program& program, u64 index);

// The snippet with everything from instruction `count` on replaced by nops of the same length, so that
// addresses and jumps stay.
Snippet first_instructions(const Snippet& snippet, u32 count);

}  // namespace cloister::lockstep
