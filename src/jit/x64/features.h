// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace cloister::jit::x64 {

// What this host's CPU has beyond x86-64's baseline. Asked once; everything has a plain way without.
struct Features {
  bool bmi1 = false;  // andn
  bool bmi2 = false;  // shlx, shrx, sarx
  bool lzcnt = false;
  bool tzcnt = false;  // part of BMI1
  bool popcnt = false;
  bool avx = false;
  bool avx2 = false;
  bool fma = false;    // with AVX
  bool sse41 = false;  // roundsd, pextr

  static const Features& of_host();
};

}  // namespace cloister::jit::x64
