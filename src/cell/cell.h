// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cell/command_line.h"
#include "cell/exit_status.h"

namespace cloister::cell {

// Makes the machine, joins it to this process's terminal or pipes, runs it to its end, and says on standard
// error why it ended where that is not a plain power-off. Returns the exit status.
ExitStatus run_cell(const RunRequest& request);

}  // namespace cloister::cell
