// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "machine/boot_file.h"

namespace cloister::machine {

bool is_gzip(std::span<const std::byte> content);

// Unpacks the gzip member (RFC 1952) at the file's beginning, its checksum checked. What follows it is
// ignored, as boot loaders pad. Refused: damaged or truncated data, more than `limit` bytes of output.
// `what` begins the errors.
Result<std::vector<std::byte>> gunzip(BootFile& file, Bytes limit, const std::string& what);

// The same from byte `from` on, without keeping the output: how many bytes of the file the member takes.
Result<Bytes> measure_gzip(BootFile& file, u64 from, const std::string& what);

}  // namespace cloister::machine
