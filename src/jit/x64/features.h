// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace cloister::jit::x64 {

// What a CPU has beyond x86-64's baseline; everything has a plain way without. ADX is not asked for: RISC-V
// has no carry flag, so guests work carries out by comparisons, of which no chain of additions can be made
// again.
struct Features {
  bool bmi1 = false;  // andn
  bool bmi2 = false;  // shlx, shrx, sarx
  bool lzcnt = false;
  bool tzcnt = false;  // part of BMI1
  bool popcnt = false;
  bool avx = false;
  bool avx2 = false;
  bool fma = false;  // with AVX

  static const Features& of_host();  // asked once
};

}  // namespace cloister::jit::x64
