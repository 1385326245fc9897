// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>

#include "base/units.h"

namespace cloister::os {

// Random bytes from the host's kernel, fit for secrets. Blocks only before the host's generator was first
// seeded, early in its boot.
void fill_random(std::span<std::byte> to);
u64 random_number();

}  // namespace cloister::os
