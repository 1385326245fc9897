// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <vector>

#include "base/random.h"
#include "base/units.h"

// Random programs of calls for a bare hart in S-mode: functions in several pages that call each other
// directly, by pointers and by tail calls, recurse deeply, are left by jumps over many of them, run as two
// coroutines, and return into code that has changed meanwhile: because it was written, because its page
// became another one or none, or because the whole address space did. They never end.
namespace cloister::lockstep {

// Where the code of a part of the functions lies: virtual pages, each of which is the one or the other of two
// frames with code that differs in constants.
inline constexpr u64 kFarCode = 0xc0000000;
inline constexpr u64 kFarPages = 4;

struct CallPlaces {
  u64 code, functions, stacks;  // where the program, its table of functions and its two stacks lie
  u64 page_entries;             // the page table that maps kFarCode in the first address space
  u64 page_change;              // what makes such an entry that of the other frame
  u64 space_change;             // what makes a satp that of the other address space
};

struct Calls {
  std::vector<u32> code;
  std::array<std::vector<u32>, 2> far_code;  // by frame
  std::vector<u64> functions;
};

// All instructions have 4 bytes. x31 and x3 are the trap handler's, which goes on behind what trapped.
Calls random_calls(Random& random, const CallPlaces& places);
// Such a handler that brings back the pages that a program hid, when they are executed, and does `otherwise`
// for all else.
std::vector<u32> calls_handler(const std::vector<u32>& otherwise);

}  // namespace cloister::lockstep
