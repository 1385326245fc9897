// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <atomic>

#include "base/units.h"
#include "memory/frame_source.h"

namespace cloister::memory {

// Frames that a VM has been granted and does not use yet, so that the source is asked once for many. Thread
// safe, without a lock.
//
// Invariant: what the source granted = what was taken here and not put back + stocked().
class FrameStock {
 public:
  // Frames asked for at once: 1 MiB, so memory that grows by 1 GiB/s asks a thousand times a second.
  // Bound: at most three times as many lie here unused, and one batch for each thread that asks just now.
  static constexpr Pages kBatch{256};

  // Without a source there is no end of frames, and nothing is counted.
  // Precondition: nothing was taken yet.
  void set_source(FrameSource* source) { source_ = source; }

  // 1 to `most` frames; may block as FrameSource::take() does, and gives 0 only when that does.
  Pages take(Pages most);
  // Up to `most`, without waiting.
  Pages try_take(Pages most);
  // From what lies here, or nothing.
  Pages take_from_here(Pages most) { return source_ == nullptr ? most : take_here(most); }
  // `count` or nothing, without waiting; nothing while frames are to be given back.
  Pages take_all(Pages count);
  void put(Pages frames);
  // From begin to end nothing is kept here: all that is put goes to the source. Both return how many
  // did since the beginning.
  Pages begin_shrinking();
  Pages end_shrinking();

  Pages stocked() const { return {stocked_.load(std::memory_order_relaxed)}; }

 private:
  Pages take_here(Pages most) {
    u64 there = stocked_.load(std::memory_order_relaxed);
    while (there > 0) {
      const u64 count = std::min(there, most.raw);
      if (stocked_.compare_exchange_weak(there, there - count)) return {count};
    }
    return {0};
  }
  Pages batch_for(Pages most) const { return shrinking_.load() ? most : std::max(most, kBatch); }
  Pages keep_rest(Pages granted, Pages asked, Pages most);
  Pages given_back() const { return {static_cast<u64>(std::max(i64{0}, given_back_.load()))}; }
  void give_back_over(Pages kept);

  FrameSource* source_ = nullptr;
  std::atomic<u64> stocked_{0};
  std::atomic<i64> given_back_{0};  // since begin_shrinking()
  std::atomic<bool> shrinking_{false};
};

}  // namespace cloister::memory
