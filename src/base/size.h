// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "base/units.h"

namespace cloister {

// "512MiB", "2 GiB", "1G", "4096": a whole number and a binary unit (K, M, G, T, with or without "iB";
// none means bytes). Refuses anything else and what does not fit 64 bits, naming `text`.
Result<Bytes> parse_size(std::string_view text);

// A whole number from `least` to `most`. Refuses anything else, naming `what` and `text`.
Result<u64> parse_number(std::string_view what, std::string_view text, u64 least, u64 most);

// The largest unit that leaves a whole number: 512 MiB, 1536 MiB, 4097 bytes.
std::string format_size(Bytes size);

}  // namespace cloister
