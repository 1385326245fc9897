// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>

#include "base/units.h"

namespace cloister::memory {

// A page's content, where the host's disks can read and write it directly.
struct alignas(kPageSize) PageCopy {
  std::array<std::byte, kPageSize> bytes;
};

}  // namespace cloister::memory
