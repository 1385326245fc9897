// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>

#include "base/units.h"

namespace cloister::hart {

struct Core;

// The supervisor's control and status registers. Those of floating point are in State.
struct CsrFile {
  u64 sstatus = 0;  // SIE, SPIE, SPP, SUM, MXR
  u64 stvec = 0;
  u64 scounteren = 0;
  u64 senvcfg = 0;
  u64 sscratch = 0;
  u64 sepc = 0;
  u64 scause = 0;
  u64 stval = 0;
  u64 satp = 0;
  std::atomic<u64> sie{0};  // read by other threads: what ends a WFI
  std::atomic<u64> sip{0};  // bits as in isa::InterruptCause; STIP as of the last look at the time
  std::atomic<u64> stimecmp{~u64{0}};
};

enum class CsrWrite : u8 { kNone, kAll, kSet, kClear };

// Reads CSR `number` to `old` and updates it with `operand`. False, with nothing done: there is no such
// register, or it is not for this mode, or read only.
bool access_csr(Core& core, u32 number, CsrWrite write, u64 operand, u64& old);

// What a write of stimecmp does, but that the environment is not told.
void set_timer(Core& core, u64 deadline);
// STIP follows time() and stimecmp.
void update_timer(Core& core);
// Interrupts that are pending and enabled, whatever sstatus.SIE says. Any thread, but `sip`'s STIP may be
// late.
inline u64 enabled_interrupts(const CsrFile& csr) {
  return csr.sip.load(std::memory_order_relaxed) & csr.sie.load(std::memory_order_relaxed);
}

}  // namespace cloister::hart
