// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <asmjit/x86.h>

#include <vector>

#include "base/units.h"

// Parts of a region's code that are noted on the way and emitted at its end.
namespace cloister::jit::x64 {

// A way into the region.
struct Entrance {
  asmjit::Label label;
  u32 block_index;
};

// Where a jump through a register goes within the region, by offset in the page.
struct Table {
  asmjit::Label label;
  asmjit::Label out;
  std::vector<asmjit::Label> targets;
};

// A jump that may become direct: a host jump of five bytes, at first to the stub.
struct Slot {
  asmjit::Label jump;
  asmjit::Label stub;
  u16 offset;  // of the target in the page
};

}  // namespace cloister::jit::x64
