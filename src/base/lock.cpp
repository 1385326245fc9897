// SPDX-License-Identifier: Apache-2.0
#include "base/lock.h"

#ifndef NDEBUG

#include <array>
#include <cstddef>

namespace cloister {
namespace {

// The ranks this thread holds, innermost last. Bound: nobody nests as deep as there are ranks.
struct Held {
  std::array<LockRank, 16> ranks{};
  std::size_t count = 0;
};
thread_local Held held;

}  // namespace

void Mutex::note_taken() {
  CHECK(held.count < held.ranks.size());
  CHECK(held.count == 0 || held.ranks[held.count - 1] < rank_);
  held.ranks[held.count++] = rank_;
}

void Mutex::note_released() {
  CHECK(held.count > 0 && held.ranks[held.count - 1] == rank_);
  --held.count;
}

}  // namespace cloister

#endif
