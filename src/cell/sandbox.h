// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/result.h"
#include "machine/config.h"

namespace cloister::cell {

// Shuts this process in, so that a guest that has broken out of its machine can reach its own files and the
// daemon's control socket, and nothing else of the host. In two steps around the machine's making:

// First of all, before any thread: only the files that the configuration names can be opened from now on;
// where the host allows it, namespaces of its own. Says in the log what the host does not offer.
Result<void> shut_in(const machine::MachineConfig& config);

// When the machine is made: only the system calls that running it needs.
Result<void> shut_the_door(const machine::MachineConfig& config);

}  // namespace cloister::cell
