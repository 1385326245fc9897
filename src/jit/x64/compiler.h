// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "hart/block.h"
#include "jit/code_cache.h"
#include "jit/ir/region.h"

namespace cloister::jit::x64 {

// What enter() of the thunks brings back in rax, beside State::pc.
inline constexpr u64 kExitPlain = 0;      // go on at pc
inline constexpr u64 kExitInterpret = 1;  // the block at pc cannot run translated now: interpret it
// Anything else: the address of the slot that a jump went through which leads nowhere yet. Writing the entry
// of the code for pc there makes the jump direct.

// The few routines that all translated code shares, at the beginning of the code cache.
struct Thunks {
  u64 (*enter)(hart::State* state, const void* code) = nullptr;
  const void* leave = nullptr;         // stores the countdown, goes back to enter()'s caller
  const void* leave_called = nullptr;  // after a call into the host, which has the countdown stored
};
Thunks make_thunks(CodeCache& cache);

// Uops for calls of the interpreter's handlers and slow paths, where translated code can point to them.
struct CallSite {
  hart::Uop uop;
  hart::Uop stop;  // its handler returns; or the Links of a block's last uop
};

// Machine code of a region.
struct Code {
  const std::byte* entry = nullptr;
  u32* epoch = nullptr;  // writable: the State::epoch for which the code is right; another one leaves at once
  std::size_t size = 0;
  std::unique_ptr<CallSite[]> sites;
};

// Nothing when the cache is full. Precondition: the region's first block has steps.
std::optional<Code> compile(const ir::Region& region, CodeCache& cache, const Thunks& thunks);

}  // namespace cloister::jit::x64
