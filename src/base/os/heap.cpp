// SPDX-License-Identifier: Apache-2.0
#include "base/os/heap.h"

#include <malloc.h>

namespace cloister::os {

void give_back_free_heap() { (void)malloc_trim(0); }

}  // namespace cloister::os
