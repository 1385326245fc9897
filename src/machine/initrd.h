// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "base/result.h"
#include "machine/boot_file.h"

namespace cloister::machine {

// Whether Linux could unpack this: cpio archives (newc) one after another, plain or compressed, as the
// kernel's initramfs buffer format has them. Refused: anything else, and what ends too early, as far as its
// format tells without unpacking it all (cpio, gzip with its checksum, zstd and lz4 by their blocks, xz by
// its footer).
Result<void> check_initrd(BootFile& file, const std::string& name);

}  // namespace cloister::machine
