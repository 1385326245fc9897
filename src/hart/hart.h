// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <span>

#include "base/lock.h"
#include "base/units.h"
#include "hart/environment.h"
#include "hart/snapshot.h"
#include "hart/tally.h"
#include "memory/guest_memory.h"

namespace cloister::hart {

struct Core;

// Bits of `sip` that the machine drives. STIP follows stimecmp by itself.
enum class Interrupt : u32 { kSoftware = 1, kTimer = 5, kExternal = 9 };

// Why run() came back.
enum class Exit {
  kBudget,  // the instructions asked for were executed
  kWait,  // WFI or WRS.*: nothing to do until interrupt_pending(), or the timer; or a spinning hart gives way
  kRequest,  // request_exit(), or the environment called it inside a call (stop, reset, …)
};

enum class Counter : u8 { kCycle, kInstret };

// Whether who posts a fence waits until it is done. Who has several harts to fence posts to all without
// waiting and then calls await_fences() of each, so that the waits overlap.
enum class Wait : u8 { kUntilDone, kNot };

class Translator;

struct HartOptions {
  u32 tlb_entries = 1024;       // of each bank: a power of two, 4 to 16384
  Bytes code_cache{16 * kMiB};  // decoded instructions, made as needed
  // What makes machine code of blocks that run often, this hart's own; it outlives the hart. nullptr: none
  // does.
  Translator* translator = nullptr;
};

// One virtual RISC-V CPU: RV64GC and the extensions of docs/architecture.md, S- and U-mode.
// All is for the hart's own thread but where "any thread" stands.
class Hart final : public memory::TlbHolder {
 public:
  Hart(u64 id, memory::GuestMemory& memory, Environment& environment, const HartOptions& options = {});
  ~Hart() override;

  u64 id() const;
  // The state in which the SBI's HSM starts a hart: S-mode, satp = 0, sie off, a0 = id, a1 = opaque.
  // Pending interrupt lines stay as the machine set them.
  void reset(u64 pc, u64 opaque);

  // Executes about `budget` guest instructions, whole blocks, or fewer: to the first block boundary at or
  // behind it. Bound: who asks for a safe point, an interrupt or the exit gets it within one block of 64
  // instructions; with a translator within a region and a stretch of a loop, 2,752 (docs/translator.md).
  // Meanwhile the thread's FP unit is the guest's; calls to the environment find it as it was before.
  Exit run(u64 budget);

  u64 reg(u32 index) const;  // x0..x31
  void set_reg(u32 index, u64 value);
  u64 freg(u32 index) const;  // f0..f31; singles NaN-boxed
  void set_freg(u32 index, u64 value);
  u64 pc() const;
  bool supervisor() const;             // S-mode; otherwise U-mode
  u64 address_space() const;           // satp: the same for all that share their memory
  u64 instructions() const;            // executed since creation, traps not counted
  u64 instructions_published() const;  // any thread: as of the last exit from run()

  Snapshot snapshot() const;   // between two calls of run()
  const Tally& tally() const;  // likewise

  // In a call of the environment: the pages from `va` on that whoever calls may write now, as its mode and
  // its page tables say; nothing for those that it may not. A and D are set as by a store. What it may write
  // need not be memory. Bound: it walks a leaf of any size once. What was found still holds while then()
  // runs: whoever asked this hart for a fence waits until it returns.
  void pages_to_write(
      GuestVirt va, std::span<std::optional<Gpn>> pages, const std::function<void()>& then = [] {});

  // What the cycle and instret CSRs read: instructions, from a value that the machine may set (SBI PMU).
  u64 counter(Counter which) const;
  void set_counter(Counter which, u64 value);

  bool interrupt_pending() const;  // any thread: an enabled interrupt, whatever sstatus.SIE says, ends a WFI
  u64 timer_deadline() const;      // any thread: stimecmp
  void set_timer(u64 deadline);    // writes stimecmp, as SBI TIME does
  void check_timer();              // any thread: time() may have reached stimecmp
  // After kWait: how long the wait may last although nothing happens (WRS.*, a spinning hart); of a WFI, for
  // ever.
  Nanos wait_bound() const;

  // Any thread.
  void set_interrupt(Interrupt which, bool pending);
  void request_exit();

  // Fences asked for by another hart (SBI RFENCE, with the SBI's meaning of start and size): done before
  // that hart's next instruction after they return here, or with Wait::kNot after await_fences() returns.
  // Any thread that is not between enter() and leave() of the guest memory, as in
  // Environment::supervisor_call.
  void post_fence_i(Wait wait = Wait::kUntilDone);
  void post_sfence_vma(GuestVirt start, u64 size, Wait wait = Wait::kUntilDone);
  void post_sfence_vma_asid(GuestVirt start, u64 size, u64 asid, Wait wait = Wait::kUntilDone);
  void await_fences();
  bool fence_outstanding() const;  // whether await_fences() would wait now

  // Blocks the calling thread until a kick: set_interrupt, check_timer, request_exit, a shootdown; for
  // wait_bound() at most. A posted fence has time until then. A wait of no time gives the host CPU to others.
  void sleep(Nanos at_most);

  void ask_for_safe_point() override;
  void forget(const memory::PageSet& pages) override;

 private:
  std::unique_ptr<Core> core_;
};

}  // namespace cloister::hart
