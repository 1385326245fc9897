// SPDX-License-Identifier: Apache-2.0
#include "base/os/machine_memory.h"

#include <unistd.h>

namespace cloister::os {

Bytes machine_memory() {
  return Bytes{static_cast<u64>(::sysconf(_SC_PHYS_PAGES)) * static_cast<u64>(::sysconf(_SC_PAGESIZE))};
}

}  // namespace cloister::os
