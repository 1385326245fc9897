// SPDX-License-Identifier: Apache-2.0
#include "isa/properties.h"
#include "jit/x64/region_code.h"

// AMO, LR and SC by the host's locked instructions, which give all the order that aq and rl can ask for.
// Where the region's hart is the only one, nobody else changes a word that it is changing: devices store to
// memory that is theirs at that time. So the lock, which costs four times the rest, can go; and with it the
// order, which only other harts could tell: drivers order what devices see by `fence`.
namespace cloister::jit::x64 {

using isa::Op;
namespace Inst = x86::Inst;

namespace {

// The host instruction of an AMO that is a loop around compare-and-swap.
u32 looped(Op op) {
  switch (op) {
    case Op::amoand_w:
    case Op::amoand_d:
      return Inst::kIdAnd;
    case Op::amoor_w:
    case Op::amoor_d:
      return Inst::kIdOr;
    case Op::amoxor_w:
    case Op::amoxor_d:
      return Inst::kIdXor;
    default:
      return 0;
  }
}

bool is(Op op, Op word, Op doubleword) { return op == word || op == doubleword; }

}  // namespace

bool RegionCode::emit_atomic(const Here& here) {
  const isa::Insn& insn = here.current().insn;
  const bool swaps = is(insn.op, Op::amoswap_w, Op::amoswap_d),
             adds = is(insn.op, Op::amoadd_w, Op::amoadd_d);
  const bool reserves = is(insn.op, Op::lr_w, Op::lr_d), stores = is(insn.op, Op::sc_w, Op::sc_d);
  const u32 operation = looped(insn.op);
  if (!swaps && !adds && !reserves && !stores && operation == 0) return false;
  if (reserves && (insn.aqrl & 1) != 0) return false;  // an lr.rl is a fence too, and rare
  const u32 size = (here.current().bits >> 12 & 7) == 3 ? 8 : 4;
  const auto sized = [size](const x86::Gp& reg) { return size == 8 ? reg : reg.r32(); };
  const Label otherwise = a_.newLabel(), back = a_.newLabel();
  emit_.load(x86::rax, insn.rs1);
  a_.test(x86::al, static_cast<i32>(size) - 1);
  a_.jnz(otherwise);
  look_up(x86::rax, size, reserves, !reserves, otherwise);
  if (reserves) {
    a_.mov(state_at(offsetof(hart::State, reserved_address)), x86::rax);
    a_.mov(sized(x86::rdx), x86::ptr(x86::rax, x86::rcx, 0, 0, size));
    a_.mov(state_at(offsetof(hart::State, reserved_value)), x86::rdx);
    a_.mov(state_at(offsetof(hart::State, reserved_size), 1), size);
  } else if (stores) {
    emit_store_conditional(insn, size);
  } else {
    const x86::Mem place = x86::ptr(x86::rcx, 0, size);
    a_.add(x86::rcx, x86::rax);
    if (region_.is_alone) {
      emit_alone(insn, adds ? u32{Inst::kIdAdd} : operation, place, size);
    } else if (operation == 0) {
      emit_.load(x86::rdx, insn.rs2);
      if (swaps) a_.xchg(place, sized(x86::rdx));
      if (adds) a_.lock().xadd(place, sized(x86::rdx));
    } else {
      const Label again = a_.newLabel();
      a_.mov(sized(x86::rax), place);
      a_.bind(again);
      emit_.load(x86::rdx, insn.rs2);
      a_.emit(operation, sized(x86::rdx), sized(x86::rax));
      a_.lock().cmpxchg(place, sized(x86::rdx));
      a_.jne(again);
      a_.mov(x86::rdx, x86::rax);
    }
  }
  if (size == 4 && !stores) a_.movsxd(x86::rdx, x86::edx);
  emit_.store(insn.rd, x86::rdx);
  a_.bind(back);
  by_handler(here, otherwise, back);
  return true;
}

// Leaves what was there in rdx. `operation` is 0 for an exchange. Plain loads and stores, which the host's
// core forwards to each other, where an xadd waits for the store.
void RegionCode::emit_alone(const isa::Insn& insn, u32 operation, const x86::Mem& place, u32 size) {
  const auto sized = [size](const x86::Gp& reg) { return size == 8 ? reg : reg.r32(); };
  emit_.load(x86::rdx, insn.rs2);
  a_.mov(sized(x86::rax), place);
  if (operation != 0) a_.emit(operation, sized(x86::rdx), sized(x86::rax));
  a_.mov(place, sized(x86::rdx));
  a_.mov(x86::rdx, x86::rax);
}

// rax: the guest's address, rcx: the addend. Leaves 0 in rdx where the store was done, else 1.
void RegionCode::emit_store_conditional(const isa::Insn& insn, u32 size) {
  const Label fails = a_.newLabel(), done = a_.newLabel();
  const auto sized = [size](const x86::Gp& reg) { return size == 8 ? reg : reg.r32(); };
  const x86::Mem reserved_size = state_at(offsetof(hart::State, reserved_size), 1);
  a_.cmp(reserved_size, size);
  a_.mov(reserved_size, 0);
  a_.jne(fails);
  a_.cmp(x86::rax, state_at(offsetof(hart::State, reserved_address)));
  a_.jne(fails);
  a_.add(x86::rcx, x86::rax);
  a_.mov(x86::rax, state_at(offsetof(hart::State, reserved_value)));
  emit_.load(x86::rdx, insn.rs2);
  const x86::Mem place = x86::ptr(x86::rcx, 0, size);
  if (region_.is_alone) {
    a_.cmp(place, sized(x86::rax));
    a_.jne(fails);
    a_.mov(place, sized(x86::rdx));
    a_.mov(x86::edx, 0);
    a_.jmp(done);
  } else {
    a_.lock().cmpxchg(place, sized(x86::rdx));
    a_.mov(x86::edx, 0);
    a_.je(done);
  }
  a_.bind(fails);
  a_.mov(x86::edx, 1);
  a_.bind(done);
}

}  // namespace cloister::jit::x64
