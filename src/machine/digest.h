// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/units.h"
#include "memory/guest_memory.h"

namespace cloister::machine {

// XXH3 over all of a guest's memory. Precondition: nobody writes to it meanwhile.
u64 digest(memory::GuestMemory& memory);

}  // namespace cloister::machine
