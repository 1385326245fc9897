// SPDX-License-Identifier: Apache-2.0
#include "hart/core.h"
#include "isa/properties.h"
#include "jit/x64/region_code.h"

// Calls of the interpreter's handlers, for what has no code here.
namespace cloister::jit::x64 {

namespace {

// Behind an instruction that was called for alone: back to the translated code.
void stop_here(hart::State& s, const hart::Uop*, u64) { s.stepped = 1; }

// A block's last handler, kept from going on to the next block, and so into translated code again, by a
// budget that is spent: the stack must not grow with the blocks.
void run_last(hart::State& s, const hart::Uop* u, u64 pc) {
  const i64 rest = s.countdown;
  s.countdown = 0;
  s.core->limit -= rest;
  u->run(s, u, pc);
  s.countdown += rest;
  s.core->limit += rest;
}

}  // namespace

CallSite& RegionCode::site(const Here& here) {
  CHECK(used_sites_ < most_sites_);
  CallSite& result = sites_[used_sites_++];
  const ir::Step& step = here.current();
  const u16 offset = static_cast<u16>(step.offset - here.block->begin);
  const u8 left = static_cast<u8>(here.block->steps.size() - here.step);
  result.uop = hart::make_uop(step.insn, step.bits, offset, left);
  result.stop = {};
  if (!isa::ends_block(step.insn.op)) result.stop.run = stop_here;
  return result;
}

// rdi, rsi, rdx: the State, the uop, the block's virtual address; everything homed in the State.
void RegionCode::prepare_call(const CallSite& where, const Here& here) {
  a_.call(spill_all_);
  a_.lea(x86::rdi, x86::ptr(kState, -kStateBias));
  a_.mov(x86::rsi, asmjit::imm(&where.uop));
  a_.mov(x86::rdx, state_at(offsetof(hart::State, page)));
  if (here.block->begin != 0) a_.add(x86::rdx, here.block->begin);
}

void RegionCode::call_handler(const Here& here) {
  const CallSite& where = site(here);
  prepare_call(where, here);
  a_.mov(state_at(offsetof(hart::State, stepped), 1), 0);
  a_.call(asmjit::imm(where.uop.run));
  a_.cmp(state_at(offsetof(hart::State, stepped), 1), 0);
  a_.je(asmjit::imm(thunks_.resume));
  a_.call(reload_all_);
  boxed_ = 0;
}

// The block's last instruction sets pc.
void RegionCode::call_last_handler(const Here& here) {
  prepare_call(site(here), here);
  a_.call(asmjit::imm(run_last));
  a_.jmp(asmjit::imm(thunks_.resume));
}

}  // namespace cloister::jit::x64
