// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "base/lock.h"
#include "base/os/event_loop.h"
#include "base/random.h"
#include "base/result.h"
#include "hart/environment.h"
#include "machine/clock.h"
#include "machine/config.h"
#include "machine/harts.h"
#include "machine/hypercall.h"
#include "machine/loader.h"
#include "machine/peripherals.h"
#include "machine/power.h"
#include "machine/sbi.h"
#include "memory/guest_memory.h"

namespace cloister::machine {

// All of a machine but who runs the harts: memory, harts and devices joined together, and what the harts
// ask of the world around them. A runner (run_parallel, run_deterministic) gives the harts their turns.
class Board final : public hart::Environment, private SbiPlatform, private device::WallClock {
 public:
  // The clock outlives the board.
  static Result<std::unique_ptr<Board>> create(const MachineConfig& config, device::ConsoleSink& console,
                                               Clock& clock);

  // Puts all into the state after power-on: memory zero, the kernel loaded, hart 0 about to start. With no
  // thread in any hart. Refused: boot files that have changed and are no good any more, host randomness
  // aside.
  Result<void> power_on();
  // Devices stopped: nothing touches the guest's memory any more. Likewise.
  void power_off();

  Harts& harts() { return harts_; }
  PowerSwitch& power() { return power_; }
  Clock& clock() { return clock_; }
  memory::GuestMemory& memory() { return *memory_; }
  os::EventLoop& loop() { return *loop_; }
  bool is_profiled() const { return !config_.profile.empty(); }
  device::QueuedConsole& console() { return peripherals_->console(); }
  Peripherals& peripherals() { return *peripherals_; }
  Hypercall& hypercall() { return hypercall_; }

  // Any thread: the reason counts if it is the first, and all harts come to their runner.
  void end(PowerEvent event);
  void stop();

  // What a runner does after each slice of guest code, on the hart's thread: shows what was printed.
  void after_slice() {
    peripherals_->flush_console();
    if (config_.stress.shootdowns) shoot_down_some();
  }
  const Stress& stress() const { return config_.stress; }
  // When the real-time clock wants a look, in time since power-on; ~0: never. For the deterministic runner.
  Nanos alarm_deadline() const { return Nanos{alarm_.load(std::memory_order_relaxed)}; }
  void check_alarm();

  // hart::Environment
  u64 time() override { return clock_.ticks(); }
  bool device_load(GuestPhys address, u32 size, u64& value) override;
  bool device_store(GuestPhys address, u32 size, u64 value) override;
  void supervisor_call(hart::Hart& hart) override;
  bool guest_call(hart::Hart& hart) override;
  void timer_changed(hart::Hart&, u64) override {}  // the runners look at timer_deadline()

 private:
  static constexpr u64 kNever = ~u64{0};

  Board(const MachineConfig& config, Clock& clock, std::unique_ptr<memory::GuestMemory> memory,
        std::unique_ptr<os::EventLoop> loop, BootFiles files, Translators translators);
  Result<void> add_peripherals(device::ConsoleSink& console);
  Result<void> prepare_boot();
  Result<std::vector<std::byte>> device_tree();
  void clear_memory();

  // SbiPlatform
  u32 hart_count() const override { return config_.cpus; }
  void set_timer(u32 hart, u64 deadline) override;
  void set_software_interrupt(HartMask harts, bool pending) override;
  void remote_fence(u32 caller, HartMask harts, const RemoteFence& fence) override;
  HartState hart_state(u32 hart) override { return harts_[hart].state; }
  bool start_hart(u32 hart, GuestPhys pc, u64 opaque) override { return harts_.start(hart, pc, opaque); }
  void stop_hart(u32 hart) override;
  void suspend_hart(u32 hart) override { harts_.suspend(hart); }
  void reset_system(u32 caller, ResetType type, ResetReason reason) override;
  bool is_memory(GuestPhys address, u64 bytes) override { return memory_->contains(address, bytes); }
  bool read_memory(GuestPhys address, std::span<std::byte> to) override { return memory_->read(address, to); }
  bool write_memory(GuestPhys address, std::span<const std::byte> from) override {
    return memory_->write(address, from);
  }
  void console_write(std::span<const std::byte> bytes) override;
  std::size_t console_read(std::span<std::byte> to) override { return console().take_input(to); }
  void set_counter(u32 hart, Counter counter, u64 value) override;

  // device::WallClock
  Nanos now() override { return clock_.realtime(); }
  void wake_at(Nanos time) override;
  void start_alarm_timer();

  void shoot_down_some();

  const MachineConfig config_;
  Clock& clock_;
  PowerSwitch power_;
  std::unique_ptr<memory::GuestMemory> memory_;
  std::unique_ptr<os::EventLoop> loop_;
  BootFiles files_;
  std::optional<BootContent> content_;  // read and checked, not yet loaded
  Placement placement_;
  std::atomic<u64> shots_{0};  // of shoot_down_some()
  Harts harts_;
  Sbi sbi_;
  Hypercall hypercall_;
  std::unique_ptr<Peripherals> peripherals_;
  std::atomic<u64> alarm_{kNever};  // in time since power-on
  std::atomic<bool> alarm_posted_{false};
  std::optional<os::EventLoop::TimerId> alarm_timer_;  // the loop's own
};

}  // namespace cloister::machine
