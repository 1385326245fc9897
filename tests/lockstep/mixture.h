// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <vector>

#include "base/random.h"

// Random snippets (lockstep/generator.h) of all instructions that cannot trap, for a bare hart in S-mode:
// those that an oracle lacks are among them. All run from their initial states, then these are put back and
// all runs anew: so snippets come to be hot, and very hot. They never end.
namespace cloister::lockstep {

// From kImageBase, which is also the entry. Bound: below 1 MiB.
std::vector<std::byte> random_mixture(Random& random);

}  // namespace cloister::lockstep
