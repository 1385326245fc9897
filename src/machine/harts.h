// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "base/lock.h"
#include "hart/hart.h"
#include "machine/engine.h"
#include "machine/profile.h"
#include "machine/sbi.h"
#include "memory/guest_memory.h"

namespace cloister::machine {

// One hart, with what the SBI's hart state management (HSM) and the statistics keep of it.
struct HartSlot {
  // `options` name `made`.
  HartSlot(u32 id, memory::GuestMemory& memory, hart::Environment& environment,
           const hart::HartOptions& options, std::unique_ptr<hart::Translator> made)
      : translator(std::move(made)), hart(id, memory, environment, options) {}

  const std::unique_ptr<hart::Translator> translator;
  hart::Hart hart;
  std::atomic<HartState> state{HartState::kStopped};
  // Where it starts. Written before kStartPending, read by the hart's thread after it.
  GuestPhys start_pc;
  u64 start_opaque = 0;

  std::atomic<u64> running{0};  // nanoseconds
  std::atomic<u64> waits{0};
  Samples samples;  // the hart's thread's own, while it runs
};

// A machine's harts, and what one does to another. Any thread but where it says otherwise.
class Harts {
 public:
  // A hart for each translator.
  Harts(Translators translators, memory::GuestMemory& memory, hart::Environment& environment,
        hart::HartOptions options);

  u32 count() const { return static_cast<u32>(slots_.size()); }
  HartSlot& operator[](u32 id) { return *slots_[id]; }
  const HartSlot& operator[](u32 id) const { return *slots_[id]; }

  // -- HSM. A started hart sees its new state after the next exit, which these ask for.

  // False when the hart is not stopped.
  bool start(u32 id, GuestPhys pc, u64 opaque);
  // On the hart's own thread, in an SBI call. Returns whether that was the last hart that was not stopped.
  bool stop(u32 id);
  void suspend(u32 id);
  // On the hart's own thread, between slices: kStartPending to kStarted.
  void begin(HartSlot& slot);

  // All stopped, no interrupt pending. With no thread in any of them.
  void reset();

  void request_exit();
  void set_software_interrupt(HartMask harts, bool pending);
  void fence(u32 caller, HartMask harts, const RemoteFence& what);

 private:
  static void post(hart::Hart& hart, const RemoteFence& what);

  Mutex mutex_{LockRank::kMachine};  // changes between stopped and not stopped
  std::vector<std::unique_ptr<HartSlot>> slots_;
};

}  // namespace cloister::machine
