// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/result.h"
#include "machine/board.h"

namespace cloister::machine {

// Runs each hart on a thread of its own until the board's power goes off. Returns when all threads have
// ended. Refused: when the host has too few threads left; then none runs.
Result<void> run_parallel(Board& board);

}  // namespace cloister::machine
