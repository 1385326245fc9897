// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/check.h"
#include "base/random.h"
#include "base/units.h"

namespace cloister::memory {

// 0 to count - 1, each once a round, in an order that looks random and needs no memory: a linear
// congruential generator over the next power of two (full period by Hull and Dobell, 1962: odd increment,
// multiplier 1 mod 4), whose numbers past the end are passed over. Each round has an order of its own.
class PageWalk {
 public:
  // Precondition: count > 0.
  PageWalk(u64 count, u64 seed) : count_(count), random_(seed) {
    CHECK(count > 0);
    while (mask_ < count - 1) mask_ = mask_ * 2 + 1;
    begin_round();
  }

  u64 count() const { return count_; }
  bool at_round_start() const { return given_ == 0; }
  u64 next() {
    do {
      at_ = (at_ * multiplier_ + increment_) & mask_;
    } while (at_ >= count_);
    const u64 result = at_;
    if (++given_ == count_) begin_round();
    return result;
  }

 private:
  void begin_round() {
    given_ = 0;
    at_ = random_.next() & mask_;
    multiplier_ = (random_.next() & ~u64{7}) | 5;
    increment_ = random_.next() | 1;
  }

  const u64 count_;
  Random random_;
  u64 mask_ = 0;
  u64 given_ = 0;
  u64 at_ = 0;
  u64 multiplier_ = 5;
  u64 increment_ = 1;
};

}  // namespace cloister::memory
