// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cloister/guest.h>

#include <cstdint>

namespace cloister::guest {

// What the call left in a0 and a1..a4.
struct Answer {
  std::uint64_t status;
  std::uint64_t values[4];
};

// Calls the host. Where there is none, the status is CLOISTER_NOT_HERE: nothing is executed then.
Answer call(std::uint64_t function, std::uint64_t first = 0, std::uint64_t second = 0);

// Whether there is a Cloister below. Found out once; thread safe.
bool is_here();

// The time CSR, in ticks of 10 MHz; 0 outside RISC-V.
inline std::uint64_t now_in_ticks() {
#if defined(__riscv)
  std::uint64_t ticks;
  asm volatile("rdtime %0" : "=r"(ticks));
  return ticks;
#else
  return 0;
#endif
}

constexpr std::uint64_t kTicksPerSecond = 10'000'000;

}  // namespace cloister::guest
