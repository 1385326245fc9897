// SPDX-License-Identifier: Apache-2.0
#include "lockstep/special_values.h"

#include <iterator>

namespace cloister::lockstep {
namespace {

u64 power_of_two_or_neighbour(Random& random) { return (u64{1} << random.below(64)) + random.below(3) - 1; }

// One number format for both widths: `fraction` bits of fraction under an exponent of `exponent` bits.
u64 interesting_float(Random& random, int exponent, int fraction) {
  const u64 greatest_exponent = (u64{1} << exponent) - 1;
  const u64 bias = greatest_exponent / 2;
  const u64 fraction_mask = (u64{1} << fraction) - 1;
  u64 e = random.below(greatest_exponent + 1), f = random.next() & fraction_mask;
  switch (random.below(10)) {
    case 0:
      e = 0;
      break;
    case 1:
      e = greatest_exponent;
      break;
    case 2:
      e = random.one_in(2) ? 1 : greatest_exponent - 1;
      break;
    case 3:
    case 4:
    case 5:
    case 6:
      e = bias + random.below(140) - 70;
      break;
    default:
      break;
  }
  if (random.one_in(3)) f = power_of_two_or_neighbour(random) & fraction_mask;
  if (random.one_in(4)) f = random.one_in(2) ? 0 : fraction_mask;
  return (random.next() & 1) << (exponent + fraction) | (e & greatest_exponent) << fraction | f;
}

}  // namespace

u64 interesting_integer(Random& random) {
  switch (random.below(8)) {
    case 0:
      return random.below(3) - 1;
    case 1:
      return power_of_two_or_neighbour(random);
    case 2:
      return -power_of_two_or_neighbour(random);
    case 3:
      return static_cast<u64>(i64{static_cast<i32>(random.next())});
    case 4:
      return static_cast<u32>(random.next());
    case 5:
      return random.below(256) - 128;
    default:
      return random.next();
  }
}

u32 interesting_single(Random& random) { return static_cast<u32>(interesting_float(random, 8, 23)); }
u64 interesting_double(Random& random) { return interesting_float(random, 11, 52); }

}  // namespace cloister::lockstep
