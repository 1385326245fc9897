// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <map>
#include <optional>
#include <span>

#include "base/guest_abi.h"
#include "base/lock.h"
#include "base/units.h"
#include "memory/guest_memory.h"

// The calls that programs of the guest make past their kernel (docs/guest-abi.md, base/guest_abi.h): they
// give up pages that hold the balloon value, and learn their machine's memory condition. Every figure is a
// guest's: a call can do no more than what its caller could do by stores of its own.
namespace cloister::machine {

struct GuestCall {
  u64 function = 0;                // a7
  std::array<u64, 6> arguments{};  // a0 and on
  u64 space = 0;                   // tells one program from another: satp
};

struct GuestReply {
  u64 status = CLOISTER_OK;      // to a0
  std::array<u64, 4> results{};  // to a1 and on
  u32 count = 0;                 // so many of them; the other registers stay
};

// Where the caller's memory is (hart::Hart::pages_to_write). Called with no lock held.
class CallerMemory {
 public:
  virtual ~CallerMemory() = default;
  virtual void pages_to_write(GuestVirt va, std::span<std::optional<Gpn>> pages,
                              const std::function<void()>& then) = 0;
  void pages_to_write(GuestVirt va, std::span<std::optional<Gpn>> pages) {
    pages_to_write(va, pages, [] {});
  }
};

class Hypercall {
 public:
  // `features`: CLOISTER_FEATURE_* that this machine has. The memory outlives it.
  Hypercall(memory::GuestMemory& memory, u32 features) : memory_(memory), features_(features) {}

  // Any hart's thread, several at once, none of them within the guest.
  GuestReply call(const GuestCall& call, CallerMemory& caller);
  // There is somebody at CLOISTER_PORT_CONDITION, or no more. Any thread.
  void offer_wait(bool offered);

 private:
  using Handler = GuestReply (Hypercall::*)(const GuestCall&, CallerMemory&);
  struct Entry {
    u64 function;
    u32 feature;  // 0: always there
    Handler handler;
  };
  static const Entry kTable[];

  GuestReply discover(const GuestCall&, CallerMemory&);
  GuestReply balloon_mark(const GuestCall&, CallerMemory&);
  GuestReply balloon_give(const GuestCall& call, CallerMemory& caller);
  GuestReply balloon_fill(const GuestCall& call, CallerMemory& caller);
  GuestReply condition(const GuestCall& call, CallerMemory& caller);
  GuestReply condition_page(const GuestCall& call, CallerMemory& caller);
  GuestReply wait(const GuestCall&, CallerMemory&);
  u64 askers(u64 space);

  memory::GuestMemory& memory_;
  std::atomic<u32> features_;
  // Who asked for the condition lately: address spaces, and when. Bound: kMostAskers.
  Mutex mutex_{LockRank::kMachine};
  std::map<u64, Nanos> asked_ GUARDED_BY(mutex_);
};

}  // namespace cloister::machine
