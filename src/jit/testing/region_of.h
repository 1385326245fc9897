// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstring>
#include <initializer_list>

#include "isa/encode.h"
#include "jit/ir/region.h"

// For the translator's tests: the region that some instructions at the beginning of a page make.
namespace cloister::jit::testing {

inline ir::Region region_of(std::initializer_list<isa::Insn> insns, ir::Limits limits = ir::kFirstLimits) {
  std::array<std::byte, kPageSize> page{};
  std::size_t offset = 0;
  for (const isa::Insn& insn : insns) {
    const u32 bits = isa::encode(insn);
    std::memcpy(&page[offset], &bits, sizeof(bits));
    offset += sizeof(bits);
  }
  return ir::build(page, 0, limits, [offset](i32 begin) { return begin < static_cast<i32>(offset); });
}

}  // namespace cloister::jit::testing
