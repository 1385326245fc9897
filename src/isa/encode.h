// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "base/random.h"
#include "isa/insn.h"
#include "isa/table.h"

// From an instruction to bits, by the same table: for tests, fuzzers and generators of guest code.
namespace cloister::isa {

// The 32-bit instruction. Bits of `insn` that the encoding has no room for are dropped: encode checks
// nothing, and decode(encode(insn)) == insn tells whether all of it fitted. Precondition: a real op.
u32 encode(const Insn& insn);

// The 16-bit instruction that decodes to `insn` (but for its length), where there is one.
std::optional<u16> encode_compressed(const Insn& insn);

// Puts the fields of `insn` into an instance of `row`; ignored bits are 0.
u32 put_together(const Row& row, const Insn& insn);

// Any legal instance of the row, of a more specific row never. All are equally likely.
u32 random_instance(const Row& row, Random& random);

}  // namespace cloister::isa
