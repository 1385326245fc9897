// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cell/command_line.h"
#include "cell/exit_status.h"

namespace cloister::cell {

// A cell that a daemon has started and feeds with memory: run_cell()'s other half. The daemon has left it
// descriptors: 3 a listening socket for the console, 4 and 5 the console's log, 6 an empty file for swap.
ExitStatus run_managed_cell(const RunRequest& request);

}  // namespace cloister::cell
