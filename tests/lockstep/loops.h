// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "base/random.h"
#include "isa/insn.h"

// Random programs of loops for a bare hart in S-mode: they walk through pages of which some are missing or
// may not be written, compute with integers and doubles of which many are no numbers, and leave their loops
// in the middle now and then. They never end.
namespace cloister::lockstep {

// Where the program's data lies, and how much of it there is. Some pages are not there.
inline constexpr u64 kLoopData = 0x40000000;
inline constexpr u64 kLoopDataPages = 16;

// All instructions have 4 bytes. x31 and x3 are the trap handler's, which goes on behind what trapped.
std::vector<u32> random_loops(Random& random);

}  // namespace cloister::lockstep
