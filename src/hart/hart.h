// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <memory>

#include "base/lock.h"
#include "base/units.h"
#include "hart/environment.h"
#include "memory/guest_memory.h"

namespace cloister::hart {

// Bits of `sip` that the machine drives. STIP follows stimecmp by itself.
enum class Interrupt : u32 { kSoftware = 1, kTimer = 5, kExternal = 9 };

// Why run() came back.
enum class Exit {
  kBudget,   // the instructions asked for were executed
  kWait,     // WFI or WRS.*: nothing to do until interrupt_pending(), or the timer
  kRequest,  // request_exit(), or the environment called it inside a call (stop, reset, …)
};

// One virtual RISC-V CPU: RV64GC and the extensions of docs/architecture.md, S- and U-mode.
// All is for the hart's own thread but where "any thread" stands.
class Hart final : public memory::TlbHolder {
 public:
  Hart(u64 id, memory::GuestMemory& memory, Environment& environment);
  ~Hart() override;

  u64 id() const;
  // The state in which the SBI's HSM starts a hart: S-mode, satp = 0, sie off, a0 = id, a1 = opaque.
  void reset(u64 pc, u64 opaque);

  // Executes about `budget` guest instructions, whole blocks, or fewer. The hart is a safe point's
  // distance (one block) from each stop.
  Exit run(u64 budget);

  u64 reg(u32 index) const;  // x0..x31
  void set_reg(u32 index, u64 value);
  u64 pc() const;
  u64 instructions() const;  // executed since creation

  bool interrupt_pending() const;  // any thread: an enabled interrupt, whatever sstatus.SIE says, ends a WFI
  u64 timer_deadline() const;      // stimecmp
  void check_timer();              // any thread: time() may have reached stimecmp

  // Any thread.
  void set_interrupt(Interrupt which, bool pending);
  void request_exit();
  // Fences asked for by another hart (SBI RFENCE, with the SBI's meaning of start and size): done before
  // that hart's next instruction after they return here. Any thread.
  void post_fence_i();
  void post_sfence_vma(GuestVirt start, u64 size);
  void post_sfence_vma_asid(GuestVirt start, u64 size, u64 asid);
  // Blocks the calling thread until a kick: set_interrupt, check_timer, request_exit, a posted fence, a shootdown.
  void sleep(Nanos at_most);

  void ask_for_safe_point() override;
  void forget(const memory::PageSet& pages) override;
};

}  // namespace cloister::hart
