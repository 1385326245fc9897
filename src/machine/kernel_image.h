// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "base/result.h"
#include "base/units.h"
#include "machine/boot_file.h"

namespace cloister::machine {

// Bound: no kernel is larger, and a hostile gzip cannot fill the host.
inline constexpr Bytes kMaxKernel{512 * kMiB};

// A RISC-V Linux Image (the kernel's Documentation/arch/riscv/boot-image-header.rst), uncompressed.
struct KernelImage {
  BootFile content;
  u64 text_offset = 0;  // from the start of memory; a multiple of 2 MiB
  u64 image_size = 0;   // with what is not in the file (BSS); at least content.size()
};

// Takes a file apart: an Image, or one in gzip. `name` is for the errors. Refused: anything else,
// named as what it is where that can be told (an ELF file, an x86 or arm64 kernel, another compression), a
// truncated file, a header that contradicts itself.
Result<KernelImage> parse_kernel(BootFile file, const std::string& name);

}  // namespace cloister::machine
