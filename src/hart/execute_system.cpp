// SPDX-License-Identifier: Apache-2.0
#include "hart/csr_file.h"
#include "hart/execute.h"
#include "isa/csr.h"
#include "memory/guest_copy.h"

// Instructions that deal with the hart itself. Their uops hold the instruction's bits in `imm`, which is what
// stval shows when they are illegal here and now.
namespace cloister::hart {

using isa::Cause;

void raise(State& s, const Uop* u, u64 pc, Cause cause, u64 tval) {
  s.pc = pc + u->offset;
  s.countdown += u->left;
  take_trap(*s.core, isa::scause_of(cause), tval);
}

void raise_illegal(State& s, const Uop* u, u64 pc) {
  return raise(s, u, pc, Cause::kIllegalInstruction, static_cast<u32>(u->imm));
}

namespace {

bool names_x0(u8 rs1) { return rs1 == 0; }

}  // namespace

// -- CSRs -------------------------------------------------------------------------------------------------

[[gnu::noinline]] bool access_register(State& s, const Uop* u, u64 pc, CsrWrite write, u64 operand) {
  const u32 number = static_cast<u32>(u->imm) >> 20;
  u64 old = 0;
  if (!access_csr(*s.core, number, write, operand, old)) {
    raise_illegal(s, u, pc);
    return false;
  }
  s.x[u->rd] = old;
  return true;
}

namespace {

inline void csr_instruction(State& s, const Uop* u, u64 pc, CsrWrite write, u64 operand) {
  if (!access_register(s, u, pc, write, operand)) return;
  return jump(s, next_pc(u, pc));
}

// -- Fences -----------------------------------------------------------------------------------------------

void fence_translations(State& s, const Uop* u, u64 pc) {
  if (!s.supervisor) return raise_illegal(s, u, pc);
  s.reserved_size = 0;
  if (u->rs1 != 0) {
    s.core->tlb.flush_page(s.x[u->rs1]);
  } else if (u->rs2 != 0) {
    fence_space(*s.core, static_cast<u16>(s.x[u->rs2]));
  } else {
    fence_all(*s.core);
  }
  return jump(s, next_pc(u, pc));
}

// -- Waiting ----------------------------------------------------------------------------------------------

// Ends run() with kWait behind `u`; the wait lasts `bound` at most.
void wait(State& s, const Uop* u, u64 pc, Nanos bound) {
  s.core->wait_bound = bound;
  s.core->exit = Exit::kWait;
  ++s.core->tally.waits;
  return leave(s, next_pc(u, pc));
}

// Bound: how long a hart sleeps at most in an instruction that waits for a store of another, which nobody
// tells us.
constexpr Nanos kStoreWait{20'000};
constexpr Nanos kForever{~u64{0}};
// A hart that pauses so often is spinning for another that may have no host CPU: it gives way.
constexpr u32 kPausesBeforeYield = 32;

// -- Cache blocks -----------------------------------------------------------------------------------------

// In U-mode senvcfg must allow them; in S-mode all are allowed.
bool may_manage_blocks(const State& s, u64 senvcfg_bits) {
  return s.supervisor || (s.core->csr.senvcfg & senvcfg_bits) != 0;
}

// Memory is coherent here, so cbo.clean, cbo.flush and cbo.inval have nothing to do but to fault where the
// block may neither be read nor written.
bool check_block(State& s, const Uop* u, u64 pc) {
  const u64 va = s.x[u->rs1];
  const Place read = locate(s, va, Use::kLoad);
  if (read.kind != Place::Kind::kFault) return true;
  const Place write = locate(s, va, Use::kStore);
  if (write.kind != Place::Kind::kFault) return true;
  raise(s, u, pc, write.fault, va);
  return false;
}

void manage_block(State& s, const Uop* u, u64 pc, u64 senvcfg_bits) {
  if (!may_manage_blocks(s, senvcfg_bits)) return raise_illegal(s, u, pc);
  if (!check_block(s, u, pc)) return;
  NEXT;
}

bool zero_block(State& s, const Uop* u, u64 pc) {
  const u64 va = s.x[u->rs1];
  const Place place = locate_to_clear(s, va);
  if (place.kind != Place::Kind::kMemory) {
    raise(s, u, pc, place.kind == Place::Kind::kDevice ? Cause::kStoreAccess : place.fault, va);
    return false;
  }
  static_assert(kZeroBlock == kPageSize);
  if (place.host != nullptr) memory::clear_racing(place.host - (va & kPageMask), kZeroBlock);
  return true;
}

// -- Calls ------------------------------------------------------------------------------------------------

// The call may wait for other harts' fences, so other harts do not wait for this one's: it does them on
// its way back, for the call ends a block.
template <typename Call>
auto call_outside(Core& core, Call&& call) {
  core.mailbox.leave_guest();
  struct Back {
    ~Back() { mailbox.enter_guest(); }
    Mailbox& mailbox;
  } const back{core.mailbox};
  const Outside outside(core);
  return call();
}

void supervisor_call(Core& core) {
  ++core.tally.supervisor_calls;
  call_outside(core, [&] { core.environment.supervisor_call(core.hart); });
}

bool guest_call(Core& core) {
  ++core.tally.guest_calls;
  return call_outside(core, [&] { return core.environment.guest_call(core.hart); });
}

}  // namespace

namespace op {

OP(illegal) { return raise_illegal(s, u, pc); }

OP(cloister_call) {
  if (!guest_call(*s.core)) return raise_illegal(s, u, pc);
  return leave(s, next_pc(u, pc));
}

OP(ecall) {
  if (!s.supervisor) {
    raise(s, u, pc, Cause::kUserCall, 0);
    return jump(s, s.pc);
  }
  leave(s, next_pc(u, pc));
  return supervisor_call(*s.core);
}
OP(ebreak) { return raise(s, u, pc, Cause::kBreakpoint, pc + u->offset); }

OP(csrrw) { return csr_instruction(s, u, pc, CsrWrite::kAll, s.x[u->rs1]); }
OP(csrrs) {
  const CsrWrite write = names_x0(u->rs1) ? CsrWrite::kNone : CsrWrite::kSet;
  return csr_instruction(s, u, pc, write, s.x[u->rs1]);
}
OP(csrrc) {
  const CsrWrite write = names_x0(u->rs1) ? CsrWrite::kNone : CsrWrite::kClear;
  return csr_instruction(s, u, pc, write, s.x[u->rs1]);
}
OP(csrrwi) { return csr_instruction(s, u, pc, CsrWrite::kAll, u->rs1); }
OP(csrrsi) { return csr_instruction(s, u, pc, u->rs1 == 0 ? CsrWrite::kNone : CsrWrite::kSet, u->rs1); }
OP(csrrci) { return csr_instruction(s, u, pc, u->rs1 == 0 ? CsrWrite::kNone : CsrWrite::kClear, u->rs1); }

OP(sret) {
  if (!s.supervisor) return raise_illegal(s, u, pc);
  return_from_trap(*s.core);
  return jump(s, s.pc);
}

OP(wfi) {
  if (!s.supervisor) return raise_illegal(s, u, pc);
  update_timer(*s.core);
  if (enabled_interrupts(s.core->csr) != 0) return leave(s, next_pc(u, pc));
  return wait(s, u, pc, kForever);
}
// The reservation's word is not watched: the wait just ends, as the manual allows at any time.
OP(wrs_nto) { return wait(s, u, pc, kStoreWait); }
OP(wrs_sto) { return wait(s, u, pc, kStoreWait); }

OP(pause) {
  __builtin_ia32_pause();
  if (++s.core->pauses == kPausesBeforeYield) {
    s.core->pauses = 0;
    s.countdown += u->left - 1;
    return wait(s, u, pc, Nanos{0});
  }
  NEXT;
}

OP(fence_i) {
  fence_instructions(*s.core);
  return leave(s, next_pc(u, pc));
}
OP(sfence_vma) { return fence_translations(s, u, pc); }
OP(sinval_vma) { return fence_translations(s, u, pc); }
OP(sfence_w_inval) {
  if (!s.supervisor) return raise_illegal(s, u, pc);
  NEXT;
}
OP(sfence_inval_ir) {
  if (!s.supervisor) return raise_illegal(s, u, pc);
  return leave(s, next_pc(u, pc));
}

OP(cbo_inval) { return manage_block(s, u, pc, isa::senvcfg::kCbie); }
OP(cbo_clean) { return manage_block(s, u, pc, isa::senvcfg::kCbcfe); }
OP(cbo_flush) { return manage_block(s, u, pc, isa::senvcfg::kCbcfe); }
OP(cbo_zero) {
  if (!may_manage_blocks(s, isa::senvcfg::kCbze)) return raise_illegal(s, u, pc);
  if (!zero_block(s, u, pc)) return;
  NEXT;
}

}  // namespace op
}  // namespace cloister::hart
