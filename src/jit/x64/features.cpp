// SPDX-License-Identifier: Apache-2.0
#include "jit/x64/features.h"

namespace cloister::jit::x64 {

const Features& Features::of_host() {
  static const Features features = [] {
    Features found;
    found.bmi1 = found.tzcnt = __builtin_cpu_supports("bmi");
    found.bmi2 = __builtin_cpu_supports("bmi2");
    found.lzcnt = found.bmi1;  // every CPU with BMI1 has LZCNT
    found.popcnt = __builtin_cpu_supports("popcnt");
    found.avx = __builtin_cpu_supports("avx");
    found.avx2 = __builtin_cpu_supports("avx2");
    found.fma = found.avx && __builtin_cpu_supports("fma");
    return found;
  }();
  return features;
}

}  // namespace cloister::jit::x64
