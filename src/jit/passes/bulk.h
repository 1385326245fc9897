// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "jit/ir/region.h"

namespace cloister::jit::passes {

// How many rounds of the loop can be done at once; nothing where they cannot.
std::optional<ir::Bulk> find_bulk(const ir::Region& region, const ir::Loop& loop);

}  // namespace cloister::jit::passes
