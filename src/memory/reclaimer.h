// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "base/units.h"
#include "memory/guest_memory.h"
#include "memory/page_walk.h"
#include "memory/swap_out.h"
#include "memory/ways.h"

namespace cloister::memory {

struct ReclaimOrder {
  Pages wanted;  // frames to be given back
  Ways allowed = Ways::all();
  Nanos deadline;          // by os::monotonic_now()
  bool is_urgent = false;  // a hart stands still until there are frames
};

// Why no more was reclaimed.
enum class ReclaimEnd : u8 {
  kDone,
  kDeadline,
  kNothingLeft,  // no page is left that the allowed ways can take
  kSwapFull,     // likewise, and the swap file has no slot left
  kSwapFailed,   // likewise, and writes to it fail: the log has the host's reason
};

struct ReclaimReport {
  ByWay frames;    // by the VM's pages; what the compressed store grew by is taken off
  Pages returned;  // that went back to the FrameSource meanwhile, with those that lay unused and other pages'
  ReclaimEnd end = ReclaimEnd::kDone;
};

// Takes frames from a running guest, without its help (essay in reclaimer.cpp). One thread at a time, which
// is no hart's.
class Reclaimer {
 public:
  // `memory` outlives it. The same seed gives the same order of victims.
  Reclaimer(GuestMemory& memory, u64 seed);

  // Returns soon after order.deadline at the latest: a batch, or the writes to the swap file that are under
  // way then, are finished.
  ReclaimReport reclaim(const ReclaimOrder& order);

  // Makes pages look idle that are not used again: called now and then in calm times, it lets an order find
  // idle pages at once. Looks at about so many. Clusters that are used as a whole become huge pages of the
  // host again.
  void age(Pages pages);

 private:
  static constexpr u64 kCluster = PageTable::kBatch;
  // Untouched since the walk last came by, which was a second ago at least, and not proven; or proven, and
  // idle then; or untouched however long ago it came by; or any.
  enum class Victims : u8 { kAged, kProven, kUntouched, kAll };
  struct Order;

  void go_round(Order& order, Victims which);
  u64 find_victims(Order& order, Victims which);
  void take_batch(Order& order);
  // `least`: what must be known of a packed page for it to be swapped.
  void go_deeper(Order& order, u8 least);
  bool swap_packed(Order& order, u8 least);
  void collect(Order& order);
  static ReclaimEnd end_of(const Order& order);
  struct Cluster {
    Gpn first;
    u64 frames = 0;
    std::vector<Gpn> victims{};
    std::vector<Gpn> recent{};  // whose time begins anew
  };
  static bool are_victims(Victims which, u8 uses);
  // Marks that are as old as `age` are taken.
  Cluster look_at_next_cluster(Victims which, Nanos age);

  // What is known of a cluster from walk to walk.
  struct Known {
    Nanos taken_at;           // its marks
    std::vector<u8> pages{};  // a byte for each (reclaimer.cpp); empty until it was looked at
  };

  GuestMemory& memory_;
  PageWalk walk_;  // over the clusters
  std::vector<Known> known_;
  SwapOut swap_;
};

}  // namespace cloister::memory
