// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <vector>

#include "lockstep/image.h"

namespace cloister::lockstep {

// The image as a static riscv64 Linux program: one segment, readable, writable and executable.
std::vector<std::byte> elf_of(const Image& image);

}  // namespace cloister::lockstep
