// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "hart/block.h"
#include "jit/code_cache.h"
#include "jit/ir/region.h"

namespace cloister::jit::x64 {

// Why enter() of the thunks came back, beside State::pc: rax and rdx.
struct Exit {
  u64 kind;
  u64 place;
};
inline constexpr u64 kExitPlain = 0;      // go on at pc
inline constexpr u64 kExitInterpret = 1;  // the block at pc cannot run translated now: interpret it
inline constexpr u64 kExitStale = 2;      // pc's region is of another epoch; `place` is its Header
// A jump went through a slot, `place`, that leads nowhere yet. Writing the entry of the code for pc there
// makes the jump direct.
inline constexpr u64 kExitSlot = 3;

// The few routines that all translated code shares, at the beginning of the code cache.
struct Thunks {
  Exit (*enter)(hart::State* state, const void* code) = nullptr;
  const void* leave = nullptr;  // stores the countdown, goes back to enter()'s caller
  const void* resume =
      nullptr;  // after a call into the host that changed pc: on there, or back to the caller
};
Thunks make_thunks(CodeCache& cache);

// Uops for calls of the interpreter's handlers and slow paths, where translated code can point to them.
struct CallSite {
  hart::Uop uop;
  hart::Uop stop;  // its handler returns; or the Links of a block's last uop
};

// The data of a region that its code looks at.
struct Header {
  u64 epoch;    // the State::epoch for which the code is right; another one leaves at once
  void* owner;  // whoever asked for the code; it may put itself here
};

// Machine code of a region. It can be entered at each of its blocks that has steps.
struct Code {
  struct Entry {
    u16 offset;  // in the page
    const std::byte* code;
  };
  std::vector<Entry> entries;  // the region's first block first
  Header* header = nullptr;    // where it may be written
  std::size_t size = 0;
  std::unique_ptr<CallSite[]> sites;
};

// Nothing when the cache is full. Precondition: the region's first block has steps.
std::optional<Code> compile(const ir::Region& region, CodeCache& cache, const Thunks& thunks);

}  // namespace cloister::jit::x64
