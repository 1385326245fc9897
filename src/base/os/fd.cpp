// SPDX-License-Identifier: Apache-2.0
#include "base/os/fd.h"

#include <unistd.h>

namespace cloister::os {

// Linux closes the descriptor whatever close() returns, EINTR too: there is nothing to repeat.
void Fd::close() {
  if (valid()) ::close(release());
}

}  // namespace cloister::os
