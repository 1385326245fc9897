// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <bit>
#include <vector>

#include "base/units.h"

namespace cloister::jit {

// A T for some of a page's offsets, which are even: a bit for each that has one, and those in a row. So what
// has none, as most are, is told by a look at one word.
template <typename T>
class Places {
 public:
  bool has(u64 offset) const { return (bits_[offset / 128] >> offset / 2 % 64 & 1) != 0; }
  // nullptr: none. Valid until the next put() or erase().
  T* find(u64 offset) { return has(offset) ? &values_[before(offset)] : nullptr; }
  template <typename Visit>
  void for_each(Visit visit) const {
    for (const T& value : values_) visit(value);
  }
  // In the place of what was there.
  void put(u64 offset, const T& value) {
    if (T* found = find(offset)) return (void)(*found = value);
    values_.insert(values_.begin() + static_cast<std::ptrdiff_t>(before(offset)), value);
    flip(offset);
  }
  // Precondition: has(offset).
  void erase(u64 offset) {
    values_.erase(values_.begin() + static_cast<std::ptrdiff_t>(before(offset)));
    flip(offset);
  }

 private:
  void flip(u64 offset) { bits_[offset / 128] ^= u64{1} << offset / 2 % 64; }
  // How many have one before it.
  std::size_t before(u64 offset) const {
    int count = std::popcount(bits_[offset / 128] & ((u64{1} << offset / 2 % 64) - 1));
    for (u64 word = 0; word < offset / 128; ++word) count += std::popcount(bits_[word]);
    return static_cast<std::size_t>(count);
  }

  std::array<u64, kPageSize / 128> bits_{};
  std::vector<T> values_;
};

}  // namespace cloister::jit
