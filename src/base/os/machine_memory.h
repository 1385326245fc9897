// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/units.h"

namespace cloister::os {

// All the memory that this machine has.
Bytes machine_memory();

}  // namespace cloister::os
