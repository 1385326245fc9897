// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <optional>

#include "base/units.h"
#include "hart/block.h"
#include "hart/csr_file.h"
#include "hart/environment.h"
#include "hart/fp_state.h"
#include "hart/hart.h"
#include "hart/mailbox.h"
#include "hart/mmu.h"
#include "hart/state.h"
#include "hart/tally.h"
#include "hart/tlb.h"
#include "hart/translator.h"
#include "memory/guest_memory.h"

namespace cloister::hart {

// The insides of a Hart: what instructions may need beside the State. The hart's own thread only, but for
// the mailbox and the atomics of the CSRs.
struct Core {
  Core(Hart& hart, u64 id, memory::GuestMemory& memory, Environment& environment, const HartOptions& options);

  State state;
  CsrFile& csr = state.csr;
  Mailbox mailbox;
  Tlb tlb;
  Walker walker;
  BlockCache blocks;

  Hart& hart;
  const u64 id;
  memory::GuestMemory& memory;
  memory::GuestMemory::HolderId holder{};
  Environment& environment;
  fp::HostFp* host_fp = nullptr;  // while run() executes

  Translator* translator = nullptr;  // nullptr: blocks are only interpreted
  Block* wanted = nullptr;           // by the translator, for translation

  std::optional<Exit> exit;       // set by an instruction that ends run()
  Nanos wait_bound{~u64{0}};      // how long the wait that kWait asks for may last
  u32 pauses = 0;                 // since the hart last gave way
  i64 limit = 0;                  // steps granted since creation; done are limit - state.countdown
  u64 traps = 0;                  // steps that were no instruction
  std::atomic<u64> published{0};  // instructions, as of the last exit from run()
  Tally tally;
  u64 counter_offset[2] = {};  // by Counter: what the register shows more than instructions
};

// The hart's thread is the machine's for a while, in a call of the environment: the FP unit is as run() found
// it, and the guest memory need not wait for this hart. No host address outlives it.
class Outside {
 public:
  explicit Outside(Core& core) : core_(core), pause_(*core.host_fp) { core.memory.leave(core.holder); }
  ~Outside() { core_.memory.enter(core_.holder); }
  Outside(const Outside&) = delete;
  Outside& operator=(const Outside&) = delete;

 private:
  Core& core_;
  const fp::HostFp::Pause pause_;
};

// Takes the exception or interrupt `scause` at state.pc.
void take_trap(Core& core, u64 scause, u64 tval);
// The most urgent interrupt that is pending, enabled and not masked, if there is one.
void take_interrupt(Core& core);
// After a change of what interrupts are enabled: asks for take_interrupt() when it matters.
void recheck_interrupts(Core& core);
void return_from_trap(Core& core);

// This hart's fence.i: blocks decoded before are compared with memory before they run again.
void fence_instructions(Core& core);

// Drops all decoded blocks and whatever leads to one. Precondition: none is being executed.
void drop_blocks(Core& core);

// The block at state.pc, decoded when need be; nullptr when a trap was taken instead.
Block* find_block(Core& core);
// The same, but nullptr too when it would have to be decoded. Drops no block, so that one may be executed.
Block* find_known_block(Core& core);

}  // namespace cloister::hart
