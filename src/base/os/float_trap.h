// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/units.h"

namespace cloister::os {

// What to do when the FP unit of a thread traps: called on that thread, in its signal handler, with its
// MXCSR, which may be changed; the instruction then begins anew. False: nobody asked for that trap, and the
// program ends as it would without this.
using FloatTrap = bool (*)(u32& mxcsr);

// For all threads of the process. Any thread.
void on_float_trap(FloatTrap handler);

}  // namespace cloister::os
