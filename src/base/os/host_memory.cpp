// SPDX-License-Identifier: Apache-2.0
#include "base/os/host_memory.h"

#include <unistd.h>

#include "base/check.h"

namespace cloister::os {

Bytes host_memory() {
  const long pages = sysconf(_SC_PHYS_PAGES);
  const long page_size = sysconf(_SC_PAGESIZE);
  CHECK(pages > 0 && page_size > 0);
  return {static_cast<u64>(pages) * static_cast<u64>(page_size)};
}

}  // namespace cloister::os
