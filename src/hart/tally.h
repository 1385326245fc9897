// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>

#include "base/units.h"

namespace cloister::hart {

// What a hart left the straight path for, since its creation. Counted on the slow ways only.
struct Tally {
  std::array<u64, 32> exceptions{};  // by cause
  std::array<u64, 32> interrupts{};  // by cause
  u64 supervisor_calls = 0;          // to the SBI
  u64 guest_calls = 0;               // Cloister's own
  u64 device_accesses = 0;
  u64 walks = 0;           // of page tables
  u64 lookups = 0;         // of blocks that no link and no jump entry led to
  u64 decoded_blocks = 0;  // made for the interpreter
  u64 waits = 0;           // WFI and the like
};

}  // namespace cloister::hart
