// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "isa/insn.h"
#include "jit/x64/registers.h"

// The host's conditional jumps for the guest's branches, after a comparison of rs1 with rs2.
namespace cloister::jit::x64 {

inline u32 condition_of(isa::Op op) {
  namespace Inst = x86::Inst;
  switch (op) {
    case isa::Op::beq:
      return Inst::kIdJe;
    case isa::Op::bne:
      return Inst::kIdJne;
    case isa::Op::blt:
      return Inst::kIdJl;
    case isa::Op::bge:
      return Inst::kIdJge;
    case isa::Op::bltu:
      return Inst::kIdJb;
    default:
      return Inst::kIdJae;
  }
}

inline u32 opposite(u32 condition) {
  namespace Inst = x86::Inst;
  switch (condition) {
    case Inst::kIdJe:
      return Inst::kIdJne;
    case Inst::kIdJne:
      return Inst::kIdJe;
    case Inst::kIdJl:
      return Inst::kIdJge;
    case Inst::kIdJge:
      return Inst::kIdJl;
    case Inst::kIdJb:
      return Inst::kIdJae;
    default:
      return Inst::kIdJb;
  }
}

// The host's conditional move on the condition of such a jump.
inline u32 move_on(u32 condition) {
  namespace Inst = x86::Inst;
  switch (condition) {
    case Inst::kIdJe:
      return Inst::kIdCmove;
    case Inst::kIdJne:
      return Inst::kIdCmovne;
    case Inst::kIdJl:
      return Inst::kIdCmovl;
    case Inst::kIdJge:
      return Inst::kIdCmovge;
    case Inst::kIdJb:
      return Inst::kIdCmovb;
    default:
      return Inst::kIdCmovae;
  }
}

}  // namespace cloister::jit::x64
