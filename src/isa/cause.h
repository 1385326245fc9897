// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/units.h"

namespace cloister::isa {

// scause of an exception.
enum class Cause : u8 {
  kFetchMisaligned = 0,
  kFetchAccess = 1,
  kIllegalInstruction = 2,
  kBreakpoint = 3,
  kLoadMisaligned = 4,
  kLoadAccess = 5,
  kStoreMisaligned = 6,
  kStoreAccess = 7,
  kUserCall = 8,
  kSupervisorCall = 9,
  kFetchPage = 12,
  kLoadPage = 13,
  kStorePage = 15,
};

// scause of an interrupt, below kInterruptBit; also its bit in sip and sie.
enum class InterruptCause : u8 { kSoftware = 1, kTimer = 5, kExternal = 9 };

inline constexpr u64 kInterruptBit = u64{1} << 63;

constexpr u64 scause_of(Cause cause) { return static_cast<u64>(cause); }
constexpr u64 scause_of(InterruptCause cause) { return kInterruptBit | static_cast<u64>(cause); }

// "load page fault"; "unknown" for a number that has no name.
const char* cause_name(u64 scause);

}  // namespace cloister::isa
