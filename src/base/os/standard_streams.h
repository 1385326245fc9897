// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>

namespace cloister::os {

inline constexpr int kStandardInput = 0;

// All of `bytes`, however long it takes; dropped when nobody reads there any more. Any thread, but whole
// writes only for one at a time.
void write_standard_output(std::span<const std::byte> bytes);

// What can be read from standard input now, up to the size of `to`, waiting for the first byte. 0: the end.
std::size_t read_standard_input(std::span<std::byte> to);

}  // namespace cloister::os
