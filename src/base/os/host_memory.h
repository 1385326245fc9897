// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/units.h"

namespace cloister::os {

// The host's physical memory, free or not; swap is not in it.
Bytes host_memory();

}  // namespace cloister::os
