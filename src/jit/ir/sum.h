// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/units.h"

namespace cloister::jit::ir {

// A sum of registers as a loop's head finds them: x[scaled] << shift, x[plain], and a constant.
struct Sum {
  u8 scaled = 0;
  u8 shift = 0;
  u8 plain = 0;
  i64 offset = 0;

  Sum plus(i64 more) const { return {scaled, shift, plain, offset + more}; }
  bool same_registers(const Sum& other) const {
    return scaled == other.scaled && shift == other.shift && plain == other.plain;
  }
  bool is_constant() const { return scaled == 0 && plain == 0; }
};

}  // namespace cloister::jit::ir
