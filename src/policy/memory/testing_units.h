// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "policy/memory/tax.h"

namespace cloister::policy::memory {

// So many MiB of memory, in pages.
constexpr Units units_of_mib(u64 count) { return {count * 256}; }

}  // namespace cloister::policy::memory
