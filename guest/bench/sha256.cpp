// SPDX-License-Identifier: Apache-2.0
// SHA-256 (FIPS 180-4) over a buffer: rotations and additions in one long dependent chain. The constants are
// the standard's fractional parts of roots of primes, and are computed from them.
#include <array>
#include <bit>
#include <cmath>
#include <vector>

#include "row.h"

namespace cloister::bench {
namespace {

struct Constants {
  std::array<u32, 8> start{};
  std::array<u32, 64> round{};
  Constants() {
    unsigned found = 0;
    for (unsigned n = 2; found < 64; ++n) {
      if (!is_prime(n)) continue;
      if (found < 8) start[found] = fraction(std::sqrt(static_cast<long double>(n)));
      round[found++] = fraction(std::cbrt(static_cast<long double>(n)));
    }
  }
  static bool is_prime(unsigned n) {
    for (unsigned d = 2; d * d <= n; ++d)
      if (n % d == 0) return false;
    return true;
  }
  static u32 fraction(long double root) {
    return static_cast<u32>((root - std::floor(root)) * 4294967296.0L);
  }
};

u32 word_at(const u8* bytes) {
  return u32{bytes[0]} << 24 | u32{bytes[1]} << 16 | u32{bytes[2]} << 8 | u32{bytes[3]};
}

[[gnu::noinline]] void compress(std::array<u32, 8>& state, const u8* block, const std::array<u32, 64>& k) {
  u32 w[64];
  for (unsigned i = 0; i < 16; ++i) w[i] = word_at(block + 4 * i);
  for (unsigned i = 16; i < 64; ++i) {
    const u32 s0 = std::rotr(w[i - 15], 7) ^ std::rotr(w[i - 15], 18) ^ (w[i - 15] >> 3);
    const u32 s1 = std::rotr(w[i - 2], 17) ^ std::rotr(w[i - 2], 19) ^ (w[i - 2] >> 10);
    w[i] = w[i - 16] + s0 + w[i - 7] + s1;
  }
  auto [a, b, c, d, e, f, g, h] = state;
  for (unsigned i = 0; i < 64; ++i) {
    const u32 t1 =
        h + (std::rotr(e, 6) ^ std::rotr(e, 11) ^ std::rotr(e, 25)) + ((e & f) ^ (~e & g)) + k[i] + w[i];
    const u32 t2 = (std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
    h = g, g = f, f = e, e = d + t1;
    d = c, c = b, b = a, a = t1 + t2;
  }
  const std::array<u32, 8> mixed{a, b, c, d, e, f, g, h};
  for (unsigned i = 0; i < 8; ++i) state[i] += mixed[i];
}

}  // namespace

u64 sha256(Scale scale) {
  const Constants constants;
  std::vector<u8> data(64 * 1024);
  for (unsigned i = 0; i < data.size(); ++i) data[i] = static_cast<u8>(i * 7);
  std::array<u32, 8> state = constants.start;
  for (u64 round = scale.of(400); round != 0; --round)
    for (unsigned at = 0; at < data.size(); at += 64) compress(state, &data[at], constants.round);
  return u64{state[0]} << 32 | state[7];
}

}  // namespace cloister::bench
