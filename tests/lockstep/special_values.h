// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/random.h"
#include "base/units.h"

// Values where arithmetic goes wrong, mixed with plain random ones.
namespace cloister::lockstep {

// Zeros, ones, signs, powers of two and their neighbours, 32-bit values in both extensions, anything.
u64 interesting_integer(Random& random);

// Bits of a single or a double: zeros, subnormals, limits, infinities, both kinds of NaN, ties, near and far
// exponents.
u32 interesting_single(Random& random);
u64 interesting_double(Random& random);

}  // namespace cloister::lockstep
