// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "base/random.h"
#include "base/units.h"
#include "memory/guest_memory.h"
#include "memory/page_walk.h"
#include "memory/swap_out.h"
#include "memory/ways.h"

namespace cloister::memory {

struct ReclaimOrder {
  Pages wanted;
  Ways allowed = Ways::all();
  Nanos deadline;  // by os::monotonic_now()
};

// Why no more was reclaimed.
enum class ReclaimEnd : u8 {
  kDone,
  kDeadline,
  kNothingLeft,  // no page is left that the allowed ways can take
  kSwapFull,
  kSwapFailed,  // a write failed; the log has the host's reason
};

struct ReclaimReport {
  ByWay frames;    // net: what the compressed store grew by is taken off
  Pages returned;  // frames that went back to the FrameSource, with those that lay unused
  ReclaimEnd end = ReclaimEnd::kDone;
};

// Takes frames from a running guest, without its help (essay in reclaimer.cpp). One thread at a time, which
// is no hart's.
class Reclaimer {
 public:
  // `memory` outlives it. The same seed and the same accesses give the same victims.
  Reclaimer(GuestMemory& memory, u64 seed);

  // Returns at order.deadline at the latest, but for the writes to the swap file that are under way then.
  ReclaimReport reclaim(const ReclaimOrder& order);

  // Makes pages look idle that are not used again: call it now and then in calm times, so that an order
  // finds idle pages at once. Looks at up to `pages` of them.
  void age(Pages pages);

 private:
  // Victims come in clusters of neighbours: less to say to the host's kernel, and one write for several.
  static constexpr u64 kCluster = 16;

  GuestMemory& memory_;
  PageWalk walk_;
  SwapOut swap_;
};

}  // namespace cloister::memory
