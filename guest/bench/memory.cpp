// SPDX-License-Identifier: Apache-2.0
// Memory rows: libc's copy over blocks that fit the caches or do not, and chains of dependent loads.
#include <cstring>
#include <numeric>
#include <utility>
#include <vector>

#include "row.h"

namespace cloister::bench {
namespace {

// Both blocks begin on a cache line: some hosts' copy is ten times slower when they are askew by a few bytes.
u64 copy(u64 size, u64 rounds) {
  std::vector<u8> area(2 * size + 128, 1);
  const u64 skew = reinterpret_cast<std::uintptr_t>(area.data()) % 64;
  u8* const from = area.data() + (64 - skew);
  u8* const to = from + size;
  for (; rounds != 0; --rounds) {
    std::memcpy(opaque(to), opaque(from), size);
    from[rounds % size] = static_cast<u8>(rounds);
  }
  return to[0] + u64{to[size - 1]};
}

// One cycle through all cache lines of `size` bytes in random order.
u64 chase(u64 size, u64 steps) {
  struct alignas(64) Line {
    const Line* next;
  };
  std::vector<Line> lines(size / sizeof(Line));
  std::vector<u32> order(lines.size());
  std::iota(order.begin(), order.end(), 0u);
  Noise noise;
  for (u64 i = order.size() - 1; i > 0; --i) std::swap(order[i], order[noise.next() % (i + 1)]);
  for (u64 i = 0; i < order.size(); ++i) lines[order[i]].next = &lines[order[(i + 1) % order.size()]];
  const Line* at = &lines[order[0]];
  for (; steps != 0; --steps) at = at->next;
  return static_cast<u64>(opaque(at) - lines.data());
}

}  // namespace

u64 copy_64k(Scale scale) { return copy(64 << 10, scale.of(12'000)); }
u64 copy_16m(Scale scale) { return copy(16 << 20, scale.of(16)); }
u64 chase_16k(Scale scale) { return chase(16 << 10, scale.of(250'000'000)); }
u64 chase_4m(Scale scale) { return chase(4 << 20, scale.of(8'000'000)); }
u64 chase_64m(Scale scale) { return chase(64 << 20, scale.of(9'000'000)); }

}  // namespace cloister::bench
