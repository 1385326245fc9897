// SPDX-License-Identifier: Apache-2.0
#include "hart/core.h"
#include "hart/execute.h"
#include "isa/properties.h"
#include "jit/x64/region_code.h"

// Calls of the interpreter's handlers, for what has no code here and for what the soft TLB has no answer to.
//
// Both engines look at State::attention at the same places: between blocks. Translated code looks only at the
// heads of loops, for nothing within a region makes the hart need attention of its own accord but a handler
// that was called. So when one did, the interpreter does the rest of the block too, and stops at its end.
namespace cloister::jit::x64 {

namespace {

// Behind an instruction that was called for alone: back to the translated code.
void stop_here(hart::State& s, const hart::Uop*, u64) { s.stepped = 1; }

u64 run_step(hart::State& s, const CallSite& site) {
  const u64 pc = s.page + static_cast<u64>(site.begin);
  const u64 renewals = s.renewals;
  struct {
    hart::Uop step;
    hart::Uop stop;
  } alone{*site.uop, {}};
  alone.stop.run = stop_here;
  s.stepped = 0;
  alone.step.run(s, &alone.step, pc);
  if (s.stepped == 0) return kLeft;
  if (s.attention.load(std::memory_order_relaxed) == 0) return s.renewals == renewals ? kGoOn : kGoOnAfresh;
  const hart::Uop* rest = site.uop + 1;
  rest->run(s, rest, pc);
  s.link = nullptr;  // the block is none of the interpreter's
  return kLeft;
}

// Asks for the page of an access that opens a group, which is the guest's to touch now. Anything but kGoOn:
// the block goes on without groups.
u64 run_fill(hart::State& s, const CallSite& site) {
  const u64 va = s.x[site.uop->rs1] + static_cast<u64>(site.uop->imm);
  const u64 first = va + static_cast<u64>(site.low), last = va + static_cast<u64>(site.high) - 1;
  if ((first ^ last) >> kPageShift != 0) return kLeft;
  const u64 renewals = s.renewals;
  const hart::Place place = hart::locate(s, va, site.writes ? hart::Use::kStore : hart::Use::kLoad);
  if (s.renewals != renewals) return kGoOnAfresh;
  const bool calm = s.attention.load(std::memory_order_relaxed) == 0;
  return place.kind == hart::Place::Kind::kMemory && calm ? kGoOn : kLeft;
}

// A block's rest, kept from going on to the next block, and so into translated code again, by a
// budget that is spent: the stack must not grow with the blocks.
void run_last(hart::State& s, const CallSite& site) {
  const i64 rest = s.countdown;
  s.countdown = 0;
  s.core->limit -= rest;
  site.uop->run(s, site.uop, s.page + static_cast<u64>(site.begin));
  s.countdown += rest;
  s.core->limit += rest;
  s.link = nullptr;
}

std::vector<hart::Uop> uops_of(const ir::Block& block) {
  std::vector<u16> code;
  for (const ir::Step& step : block.steps) {
    code.push_back(static_cast<u16>(step.bits));
    if (step.insn.length == 4) code.push_back(static_cast<u16>(step.bits >> 16));
  }
  return hart::decode_uops(code);
}

}  // namespace

// The step's uop is the last of those that stand at its offset: a check of the FP unit may come before.
CallSite& RegionCode::site(const Here& here) {
  const ir::Step& step = here.current();
  const u16 offset = static_cast<u16>(step.offset - here.block->begin);
  std::vector<hart::Uop>& uops = sites_->uops[here.block_index];
  if (uops.empty()) uops = uops_of(*here.block);
  std::size_t at = uops.size() - 2;
  while (uops[at].offset != offset || uops[at].length == 0) --at;
  CallSite& result = sites_->sites.emplace_back();
  result.uop = &uops[at];
  result.begin = here.block->begin;
  result.writes = isa::properties(step.insn.op).is_store();
  return result;
}

void RegionCode::call_handler(const Here& here) {
  if (here.rounds != nullptr) {
    a_.jmp(leave_rounds_before(here));
    return;
  }
  settle();
  a_.mov(x86::rax, asmjit::imm(&site(here)));
  a_.call(call_step_);
  a_.test(x86::eax, x86::eax);
  a_.jz(thunk(Thunk::kResume));
}

// The rest of the block, whose last instruction sets pc.
void RegionCode::call_last_handler(const Here& here) {
  a_.mov(x86::rax, asmjit::imm(&site(here)));
  a_.jmp(call_last_);
}

// At `otherwise`, out of the way: the interpreter's handler, then `back`.
void RegionCode::by_handler(const Here& here, const Label& otherwise, const Label& back) {
  const auto emit = [this, here, otherwise, back] {
    a_.bind(otherwise);
    call_handler(here);
    a_.jmp(back);
  };
  later(emit, known_before_);
}

// Calls `function` with the site in rax. While the host's code works, all homes are in the State, where it
// may change them. Comes back with its result in eax. Left out where nothing calls it, as in most regions.
void RegionCode::emit_call(const Label& label, u64 (*function)(hart::State&, const CallSite&)) {
  if (!is_used(label)) return;
  const Label done = a_.newLabel();
  a_.bind(label);
  spill_for_call();
  a_.sub(x86::rsp, 8);
  a_.call(asmjit::imm(function));
  a_.add(x86::rsp, 8);
  a_.mov(kCountdown, state_at(offsetof(hart::State, countdown)));
  reload(homes_.homed());
  a_.cmp(x86::eax, static_cast<i32>(kGoOnAfresh));
  a_.jne(done);
  forget_found(sizeof(u64));
  a_.bind(done);
  a_.ret();
}

void RegionCode::emit_calls() {
  emit_call(call_step_, run_step);
  emit_call(call_fill_, run_fill);
  emit_csr_call();
  if (!is_used(call_last_)) return;
  a_.bind(call_last_);
  spill_for_call();
  a_.call(asmjit::imm(run_last));
  a_.jmp(thunk(Thunk::kResume));
}

void RegionCode::spill_for_call() {
  a_.mov(state_at(offsetof(hart::State, countdown)), kCountdown);
  spill(all_written_);
  a_.mov(x86::rsi, x86::rax);
  a_.lea(x86::rdi, x86::ptr(kState, -kStateBias));
}

}  // namespace cloister::jit::x64
