// SPDX-License-Identifier: Apache-2.0
#include "hart/core.h"
#include "isa/cause.h"
#include "isa/csr.h"

// Traps: all go to supervisor mode, for there is no machine mode in the guest.
namespace cloister::hart {

namespace {

namespace sstatus = isa::sstatus;

u64 vector_of(u64 stvec, u64 scause) {
  const u64 base = stvec & ~isa::stvec::kMode;
  const bool vectored = (stvec & isa::stvec::kMode) == isa::stvec::kVectored;
  if (!vectored || (scause & isa::kInterruptBit) == 0) return base;
  return base + 4 * (scause & ~isa::kInterruptBit);
}

u64 status_in_trap(u64 status, bool from_supervisor) {
  const bool enabled = (status & sstatus::kSie) != 0;
  status &= ~(sstatus::kSie | sstatus::kSpie | sstatus::kSpp);
  return status | (enabled ? sstatus::kSpie : 0) | (from_supervisor ? sstatus::kSpp : 0);
}

bool are_unmasked(const Core& core) {
  return !core.state.supervisor || (core.csr.sstatus & sstatus::kSie) != 0;
}

}  // namespace

void take_trap(Core& core, u64 scause, u64 tval) {
  State& s = core.state;
  core.csr.sepc = s.pc;
  core.csr.scause = scause;
  core.csr.stval = tval;
  core.csr.sstatus = status_in_trap(core.csr.sstatus, s.supervisor);
  s.supervisor = true;
  s.pc = vector_of(core.csr.stvec, scause);
  s.reserved_size = 0;
  // A trap is a step, so that a hart that only traps comes back from run() too.
  --s.countdown;
  ++core.traps;
  auto& taken = (scause & isa::kInterruptBit) != 0 ? core.tally.interrupts : core.tally.exceptions;
  ++taken[scause % taken.size()];
  refresh_context(core);
}

void take_interrupt(Core& core) {
  const u64 ready = enabled_interrupts(core.csr);
  if (ready == 0 || !are_unmasked(core)) return;
  using isa::InterruptCause;
  for (const auto cause : {InterruptCause::kExternal, InterruptCause::kSoftware, InterruptCause::kTimer}) {
    if ((ready >> static_cast<u32>(cause) & 1) != 0) return take_trap(core, isa::scause_of(cause), 0);
  }
}

void recheck_interrupts(Core& core) {
  if (enabled_interrupts(core.csr) != 0 && are_unmasked(core))
    core.state.attention.fetch_or(attention::kInterrupt);
}

void return_from_trap(Core& core) {
  State& s = core.state;
  u64& status = core.csr.sstatus;
  const bool enable = (status & sstatus::kSpie) != 0;
  s.supervisor = (status & sstatus::kSpp) != 0;
  status &= ~(sstatus::kSie | sstatus::kSpp);
  status |= sstatus::kSpie | (enable ? sstatus::kSie : 0);
  s.pc = core.csr.sepc;
  s.reserved_size = 0;
  refresh_context(core);
  recheck_interrupts(core);
}

void fence_instructions(Core& core) {
  ++core.state.epoch;
  core.tlb.end_epoch();
}

}  // namespace cloister::hart
