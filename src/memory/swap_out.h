// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <span>

#include "base/result.h"
#include "base/units.h"
#include "memory/guest_memory.h"

namespace cloister::memory {

// Writes pages to the swap file while the guest goes on (essay in swap_out.cpp). Used by one thread; has
// threads of its own for the writes, started with the first.
class SwapOut {
 public:
  explicit SwapOut(GuestMemory& memory);
  ~SwapOut();

  enum class Trouble : u8 { kNone, kFull, kFailed };

  // Begins to write those of `pages` that are private or packed, and not pinned. May wait for earlier writes.
  // Precondition: the memory has a swap file.
  void submit(std::span<const Gpn> pages);
  // Waits for all that was begun, and tells what came of it since the last call: the frames that came free,
  // by pages that the guest did not use meanwhile, and the worst trouble, which is logged where it comes up.
  struct Done {
    Pages freed;
    Trouble trouble = Trouble::kNone;
  };
  Done drain();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace cloister::memory
