// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/units.h"

namespace cloister::memory {

// Where a VM's frames come from: its allowance of the host's pool. A cell with a daemon asks the ledger; one
// without has no source, and takes what it likes. Thread safe.
//
// A frame counts as taken from the moment that take() or try_take() grants it until give_back(): the
// guest's private pages, the compressed store's, and a small stock (frame_stock.h) so that a first touch
// seldom comes here.
class FrameSource {
 public:
  virtual ~FrameSource() = default;

  // Grants 1 to `most` frames; blocks until there is one. 0: there will be none (the cell ends), and the
  // access that wanted it fails as if there were no memory. Called with no lock taken and no hart of the
  // calling thread counted as running, so whoever makes room may shoot down, compress and swap meanwhile.
  virtual Pages take(Pages most) = 0;

  // Grants up to `most`, maybe none; never blocks.
  virtual Pages try_take(Pages most) = 0;

  // Never blocks.
  virtual void give_back(Pages frames) = 0;
};

}  // namespace cloister::memory
