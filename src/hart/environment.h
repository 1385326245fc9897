// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/units.h"

namespace cloister::hart {

class Hart;

// What a hart asks of the machine around it. Called on the hart's thread, between two guest instructions'
// effects: the hart holds no lock and no frame.
class Environment {
 public:
  virtual ~Environment() = default;

  // The `time` CSR: ticks of kTimebaseHz since power-on. Host clock, or the virtual one.
  virtual u64 time() = 0;

  // Device registers, for physical addresses that are no memory. False: access fault.
  virtual bool device_load(GuestPhys address, u32 size, u64& value) = 0;
  virtual bool device_store(GuestPhys address, u32 size, u64 value) = 0;

  // ECALL from S-mode: an SBI call, its arguments in a0..a7, its results put there.
  virtual void supervisor_call(Hart& hart) = 0;

  // Cloister's own call, from either mode: its function in a7, its arguments from a0 on, its results put
  // there. False, with nothing done: there is none here, and the instruction is illegal. The hart is outside
  // the guest meanwhile; hart.pages_to_write() tells where the caller's memory is.
  virtual bool guest_call(Hart& /*hart*/) { return false; }

  // stimecmp was written. The machine calls hart.check_timer() when time() reaches `deadline`, if it changes
  // no more.
  virtual void timer_changed(Hart& hart, u64 deadline) = 0;
};

// Bound: 10 MHz, as QEMU's virt machine: fine enough for Linux's high-resolution timers, and 2^64 ticks last.
inline constexpr u64 kTimebaseHz = 10'000'000;

}  // namespace cloister::hart
