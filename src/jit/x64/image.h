// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <asmjit/asmjit.h>

#include <array>
#include <list>
#include <memory>
#include <span>
#include <vector>

#include "base/units.h"
#include "hart/block.h"
#include "hart/csr_file.h"

namespace cloister::jit::x64 {

// An instruction that the interpreter does for translated code, where that can point to it.
struct CallSite {
  const hart::Uop* uop;  // among its block's
  i32 begin = 0;         // the block's offset from the region's page
  bool writes = false;   // of a load or store: which it is
  i16 low = 0;           // of one that opens a group: the group's bytes, from the first's own address
  i16 high = 0;
  hart::CsrWrite csr_write{};  // of a CSR instruction: what it does, and whether rs1 is the operand itself
  bool is_immediate = false;
};

// What a region's code points to and nobody writes.
struct Sites {
  std::list<CallSite> sites;                 // at addresses that stay; mostly none or a few
  std::vector<std::vector<hart::Uop>> uops;  // by block; empty where none is called
};

// The routines that a region's code jumps to.
enum class Thunk : u8 { kLeave, kResume, kJump, kMiss, kCall, kReturn };
inline constexpr std::size_t kThunks = 6;

// Machine code that has no place yet: its bytes, and what must be written into them where they come to lie.
// Never changed once it is made, so several harts can place it, each in its own code cache.
struct Image {
  enum Part : u8 { kHot, kCold };  // what runs often, what seldom does
  struct Spot {
    Part part = kHot;
    u32 offset = 0;
  };
  struct Patch {
    enum class Kind : u8 {
      kDistance,  // 32 bits: from `base` to `target`
      kThunk,     // 32 bits: from `base` to a Thunk
      kHeader,    // 64 bits: the address of the region's Header
      kRuns,      // 64 bits: that of its counts of blocks
      kJumps,     // 64 bits: that of its LastJumps
    };
    Kind kind;
    Thunk thunk{};
    Spot at;
    Spot base;
    Spot target;
    i32 addend = 0;
  };
  struct Entry {
    i32 offset;  // from the region's page
    u16 block;   // of the region
    Spot code;
  };

  std::array<std::vector<std::byte>, 2> parts;  // by Part
  std::vector<Patch> patches;
  std::vector<Entry> entries;  // the region's first block first
  Spot enter;                  // as Code's
  Spot stale;
  u32 runs = 0;   // blocks whose runs are counted
  u32 jumps = 0;  // LastJumps
  std::shared_ptr<const Sites> sites;

  std::size_t size() const { return parts[kHot].size() + parts[kCold].size(); }
};

// Takes the code out of `holder`, whose sections are the parts. All labels are bound but those of thunks.
void take_code(const asmjit::CodeHolder& holder, const std::array<asmjit::Label, kThunks>& thunks,
               Image& image);
Image::Spot spot_of(const asmjit::CodeHolder& holder, const asmjit::Label& label);

}  // namespace cloister::jit::x64
