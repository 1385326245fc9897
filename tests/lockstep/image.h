// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "base/units.h"
#include "lockstep/program.h"

// A program as bytes in memory, the same for every machine that runs it.
//
//     code    the start; for each base register a loader and a saver of a whole state; the exit; the snippets
//     areas   page-aligned, one for each initial state of each snippet: the State, then the address of the
//     loader for it
//
// The start enters the first area's loader with x1 = that area's base; the loader fills all registers from
// the area and jumps to the snippet through x31. The snippet ends at the saver, which puts the registers back
// into the area and goes on to the next area's loader. After the last, the exit writes all areas to standard
// output by Linux's write and ends by its exit: a real Linux process can run it, and so can a bare hart whose
// ECALL handler knows these two calls.
namespace cloister::lockstep {

inline constexpr u64 kImageBase = 0x80000000;

inline constexpr u64 kCallWrite = 64;  // Linux's numbers for riscv64, in a7
inline constexpr u64 kCallExit = 93;

struct Image {
  std::vector<std::byte> bytes;  // from kImageBase, which is also the entry
  u64 areas = 0;                 // offset of the first area in `bytes`
  u64 exit = 0;                  // of the exit
  u64 states = 0;
  std::vector<std::vector<u64>> addresses;  // of each snippet's instructions, and its end
};

// Bound: the code must lie within a jump's reach: below 1 MiB, or about 5000 snippets of 50 instructions.
Image link(const Program& program);

// The states in the bytes that the exit writes. Precondition: all of them.
std::vector<State> states_in(std::span<const std::byte> areas, u64 count);
u64 area_bytes(const Image& image);

}  // namespace cloister::lockstep
