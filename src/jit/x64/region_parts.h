// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <asmjit/x86.h>

#include <optional>
#include <vector>

#include "base/units.h"
#include "jit/ir/region.h"
#include "jit/x64/homes.h"

// Parts of a region's code that are noted before they are emitted.
namespace cloister::jit::x64 {

inline constexpr i32 kPage = static_cast<i32>(kPageSize);  // as instructions take it

// Host registers for doing many rounds at once.
struct BulkPlaces {
  std::vector<x86::Gp> pointers;  // by base
  std::vector<u8> borrowed;       // guest registers whose homes are among the pointers
  std::vector<x86::Ymm> vectors;
};

// A loop's rounds without checks.
struct Rounds {
  Rounds(const ir::Loop& loop_, Homes homes_) : loop(loop_), homes(homes_) {}
  const ir::Loop& loop;
  const Homes homes;
  u64 borrowed = 0;  // guest registers that have a home here only
  u64 evicted = 0;   // guest registers whose home in the region is something else here
  u64 written = 0;
  bool uses_float = false;
  std::vector<std::optional<x86::Gp>> addends;  // by stream
  std::vector<Homes> beside;                    // by aside: what it writes lives elsewhere meanwhile
  std::optional<x86::Gp> extra;                 // counts the asides' steps that were taken, if there are some
  std::optional<BulkPlaces> bulk;               // where many rounds can be done at once
  asmjit::Label enter;                          // from the loop's ordinary code: to look whether it may run
  asmjit::Label head;
};

// asmjit's numbers of instructions for one of RISC-V's.
struct FloatOp {
  u32 sse, avx;
};
struct FusedOp {
  u32 multiply, add;
};

// Whether each time that a jump runs in a page it goes to the same place.
enum class Target : u8 { kKnown, kRegister };

// How a region is left for an address: what the return stack has to do with it.
struct Leaving {
  enum class Way : u8 { kJump, kCall, kReturn };
  Way way = Way::kJump;
  u8 link = 0;   // of a call: the register with the address that it comes back to,
  i32 back = 0;  // and its offset
};

// Where a jump through a register goes within the region, by offset.
struct Table {
  asmjit::Label label;
  asmjit::Label out;
  std::vector<asmjit::Label> targets;
};

// A jump that may become direct: a host jump of five bytes, at first to the stub.
struct Slot {
  asmjit::Label jump;
  asmjit::Label stub;
  i32 offset;  // of the target
};

}  // namespace cloister::jit::x64
