// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>

#include "base/units.h"

namespace cloister::hart {

// Where translated code's last calls come back to: return addresses, and the machine code for each. A ring,
// so that calls never fail: the oldest makes room, and whoever returns to it goes by the jump cache.
//
// Invariant: all entries, those that were returned to among them, hold under one State::jump_tag in one
// epoch, as jump entries do. So a return compares its address alone. Who calls runs in a page that the jump
// tag is known to lead to (Tlb::note_jump), so what ends jumps there ends these too.
struct alignas(256) ReturnStack {
  static constexpr u64 kEntries = 32;  // with 8 bytes each, an addition to the low byte goes round
  static constexpr u64 kNoAddress = 1;

  std::array<u64, kEntries> addresses;
  std::array<const void*, kEntries> code;
  u64* top = addresses.data();  // while it is not the hart's: the last call's
  u32 tag = 0;
  u32 epoch = 0;

  void begin(u32 new_tag, u32 new_epoch) {
    addresses.fill(kNoAddress);
    tag = new_tag;
    epoch = new_epoch;
  }
};

}  // namespace cloister::hart
