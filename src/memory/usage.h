// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/units.h"
#include "memory/page_word.h"

namespace cloister::memory {

// What a guest's memory takes now.
struct Usage {
  Pages in_state[kPageStates];  // sums to the guest's size
  Pages frames;                 // held: private pages and the compressed store
  Pages unused;                 // granted beyond those
  Pages store;                  // frames of the compressed store
  Pages packed;                 // ever, into that store
  Pages unpacked;               // of these, brought back to be used
  Nanos waited;                 // ever, by whoever needed a page that had to be brought back or had no frame

  Pages in(PageState state) const { return in_state[static_cast<int>(state)]; }
};

}  // namespace cloister::memory
