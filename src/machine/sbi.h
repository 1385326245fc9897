// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <vector>

#include "base/units.h"

// The supervisor binary interface 2.0 (riscv-non-isa/riscv-sbi-doc), in host code: what a kernel in S-mode
// gets where real machines have firmware in M-mode. Extensions: BASE, TIME, IPI, RFENCE, HSM, SRST, DBCN,
// PMU, and of the legacy ones the timer, the console and shutdown.
namespace cloister::machine {

enum class SbiError : i64 {
  kSuccess = 0,
  kFailed = -1,
  kNotSupported = -2,
  kInvalidParam = -3,
  kDenied = -4,
  kInvalidAddress = -5,
  kAlreadyAvailable = -6,
  kAlreadyStarted = -7,
  kAlreadyStopped = -8,
};

// A set of harts, a bit each. Bound: 64 harts.
using HartMask = u64;

enum class FenceKind { kInstructions, kTranslations, kTranslationsOfAsid };
struct RemoteFence {
  FenceKind kind = FenceKind::kInstructions;
  GuestVirt start;
  u64 size = 0;  // start and size 0, or a size of 2^64 - 1: everything
  u64 asid = 0;
};

// SBI 2.0, 9.1, with its numbers. A hart stops and suspends between two instructions, so neither is pending.
enum class HartState : u64 { kStarted = 0, kStopped = 1, kStartPending = 2, kSuspended = 4 };

enum class ResetType { kShutdown, kReboot };
enum class ResetReason { kNone, kSystemFailure };

// The SBI's counters: two, and each can count one thing only.
enum class Counter : u32 { kCycles = 0, kInstructions = 1 };
inline constexpr u32 kCounters = 2;

// What the SBI asks of the machine, always on the thread of the calling hart.
class SbiPlatform {
 public:
  virtual ~SbiPlatform() = default;
  virtual u32 hart_count() const = 0;

  virtual void set_timer(u32 hart, u64 deadline) = 0;
  virtual void set_software_interrupt(HartMask harts, bool pending) = 0;
  // On return no hart of the set executes, or ever will, an instruction from before its fence.
  virtual void remote_fence(u32 caller, HartMask harts, const RemoteFence& fence) = 0;

  virtual HartState hart_state(u32 hart) = 0;
  // False when it is not stopped.
  virtual bool start_hart(u32 hart, GuestPhys pc, u64 opaque) = 0;
  // These two take effect when the call returns; a suspended hart goes on after the call when an interrupt
  // comes.
  virtual void stop_hart(u32 hart) = 0;
  virtual void suspend_hart(u32 hart) = 0;
  virtual void reset_system(u32 caller, ResetType type, ResetReason reason) = 0;

  virtual bool is_memory(GuestPhys address, u64 bytes) = 0;
  // False: no memory.
  virtual bool read_memory(GuestPhys address, std::span<std::byte> to) = 0;
  virtual bool write_memory(GuestPhys address, std::span<const std::byte> from) = 0;

  virtual void console_write(std::span<const std::byte> bytes) = 0;
  virtual std::size_t console_read(std::span<std::byte> to) = 0;

  virtual void set_counter(u32 hart, Counter counter, u64 value) = 0;
};

struct SbiCall {
  u32 hart = 0;
  u64 extension = 0;  // a7
  u64 function = 0;   // a6
  std::array<u64, 6> arguments{};
};

struct SbiResult {
  u64 a0 = 0;
  u64 a1 = 0;
  bool keeps_a1 = false;  // a legacy call: a1 is the caller's

  static SbiResult ok(u64 value = 0) { return {0, value}; }
  static SbiResult fail(SbiError error) { return {static_cast<u64>(error), 0}; }
  static SbiResult legacy(u64 value) { return {value, 0, true}; }
  SbiError error() const { return static_cast<SbiError>(a0); }
};

class Sbi {
 public:
  explicit Sbi(SbiPlatform& platform) : platform_(platform), counters_(platform.hart_count()) {}

  // Any hart's thread, several at once. Precondition: call.hart < hart_count().
  SbiResult call(const SbiCall& call);
  // With all harts stopped.
  void reset();

 private:
  using Handler = SbiResult (Sbi::*)(const SbiCall&);
  struct Entry {
    u64 extension;
    u64 function;
    Handler handler;
  };
  static const Entry kTable[];
  static bool has_extension(u64 extension);

  SbiResult spec_version(const SbiCall&);
  SbiResult implementation_id(const SbiCall&);
  SbiResult implementation_version(const SbiCall&);
  SbiResult probe_extension(const SbiCall& call);
  SbiResult zero(const SbiCall&);
  SbiResult set_timer(const SbiCall& call);
  SbiResult send_ipi(const SbiCall& call);
  SbiResult fence(const SbiCall& call, const RemoteFence& what);
  SbiResult fence_i(const SbiCall& call);
  SbiResult sfence_vma(const SbiCall& call);
  SbiResult sfence_vma_asid(const SbiCall& call);
  SbiResult hart_start(const SbiCall& call);
  SbiResult hart_stop(const SbiCall& call);
  SbiResult hart_status(const SbiCall& call);
  SbiResult hart_suspend(const SbiCall& call);
  SbiResult system_reset(const SbiCall& call);
  SbiResult console_write(const SbiCall& call);
  SbiResult console_read(const SbiCall& call);
  SbiResult console_write_byte(const SbiCall& call);
  SbiResult counter_count(const SbiCall&);
  SbiResult counter_info(const SbiCall& call);
  SbiResult counter_configure(const SbiCall& call);
  SbiResult counter_start(const SbiCall& call);
  SbiResult counter_stop(const SbiCall& call);
  SbiResult legacy_set_timer(const SbiCall& call);
  SbiResult legacy_putchar(const SbiCall& call);
  SbiResult legacy_getchar(const SbiCall&);
  SbiResult legacy_clear_ipi(const SbiCall& call);
  SbiResult legacy_shutdown(const SbiCall& call);

  // The PMU's view of one hart, touched by that hart's thread only: a bit for each counter.
  struct CounterState {
    u32 configured = 0;
    u32 started = 0;
  };

  SbiPlatform& platform_;
  std::vector<CounterState> counters_;
};

}  // namespace cloister::machine
