// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

namespace cloister::guest {

// The number behind `key` in a text of lines `key value …`, as in /proc/meminfo and /proc/vmstat; 0 when it
// is not there. The key is a whole word at a line's beginning, with its colon if it has one.
std::uint64_t figure_in(const char* text, const char* key);

// avg10 of the line `some` of a PSI file, in hundredths of a per cent.
std::uint32_t pressure_in(const char* text);

// The beginning of a small file, zero-terminated; empty when it cannot be read. `size` bounds it, with the
// zero.
void read_text(const char* path, char* text, std::size_t size);

}  // namespace cloister::guest
