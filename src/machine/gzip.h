// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/units.h"

namespace cloister::machine {

bool is_gzip(std::span<const std::byte> content);

// Unpacks the first gzip member (RFC 1952), its checksum checked. What follows it is ignored, as boot
// loaders pad. Refused: damaged or truncated data, more than `limit` bytes of output. `what` begins the
// errors.
Result<std::vector<std::byte>> gunzip(std::span<const std::byte> content, Bytes limit,
                                      const std::string& what);

// The same without keeping the output: how many bytes of `content` the member takes.
Result<Bytes> measure_gzip(std::span<const std::byte> content, const std::string& what);

}  // namespace cloister::machine
