// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>

#include "base/units.h"

namespace cloister::memory {

enum class Codec : u8 {
  kLz4,   // for warm pages: about 1 us to unpack
  kZstd,  // for cold ones: about a third smaller, several times slower
};

// What a packed page may take at most. One that takes more is left as it is: the frames won would not be
// worth the time.
inline constexpr std::size_t kMostPacked = 3072;

// Packs a page into `to`; returns the bytes used, or 0 when the page does not fit. Any thread.
std::size_t pack(Codec codec, std::span<const std::byte, kPageSize> page,
                 std::span<std::byte, kMostPacked> to);
// Precondition: `packed` comes from pack() with the same codec.
void unpack(Codec codec, std::span<const std::byte> packed, std::span<std::byte, kPageSize> page);

}  // namespace cloister::memory
