// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>

namespace cloister::os {

// Random bytes from the host's kernel, fit for secrets. Blocks only before the host's generator was first
// seeded, early in its boot.
void fill_random(std::span<std::byte> to);

}  // namespace cloister::os
