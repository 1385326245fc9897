// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "base/os/mapping.h"
#include "base/result.h"
#include "base/units.h"
#include "memory/condition_page.h"

namespace cloister::memory {

// What makes a page a balloon page is a secret at its head; the rest is zero, so writing it is cheap.
inline constexpr std::size_t kMarkBytes = 32;

// The host memory behind a guest: a mapping with a place for each page, and the three pages that many guest
// pages read instead. A place that was never written, or was given back, is a hole and costs nothing.
class Frames {
 public:
  static constexpr u64 kZeroRun = 64;  // pages of zeros in a row: how long a run of zero pages may be
  static constexpr u64 kBlock = os::Mapping::kHugePage >> kPageShift;  // pages that may be one of the host's

  // For `pages` pages, with a balloon value of their own.
  static Result<Frames> create(Pages pages);

  std::byte* place(u64 index) const { return places_.data() + (index << kPageShift); }
  std::byte* zeros() const { return zeros_.data(); }
  std::byte* balloon_page() const { return balloon_.data(); }
  ConditionPage& condition() { return condition_; }
  const ConditionPage& condition() const { return condition_; }

  // Makes holes of places: what they held is gone, and the host's kernel clears a
  // frame before anyone gets it again.
  struct Run {
    u64 first = 0;
    Pages count;
  };
  void give_back(Run run) { give_back(std::span<const Run>(&run, 1)); }
  void give_back(std::span<const Run> runs);
  // Fills `count` places from `first` on, as their first writes would, for a fraction of what those cost;
  // whole blocks as huge pages where the host has some. Precondition: these are holes, and the caller's.
  void populate(u64 first, Pages count);
  // Makes the block from `first` on one of the host's huge pages again, if it is none and the host has one:
  // true then. What it holds stays, and may be used meanwhile. Precondition: all of it has frames, and none
  // is given back meanwhile.
  bool collapse(u64 first);
  // What the host's kernel holds for the guest now. Looks at each page.
  Bytes allocated() const { return places_.resident(); }

 private:
  Frames(os::Mapping places, os::Mapping zeros, os::Mapping balloon, ConditionPage condition)
      : huge_(places.size().raw / os::Mapping::kHugePage + 1),
        places_(std::move(places)),
        zeros_(std::move(zeros)),
        balloon_(std::move(balloon)),
        condition_(std::move(condition)) {}

  std::vector<std::atomic<bool>> huge_;  // blocks that were made whole, and not taken from since
  os::Mapping places_, zeros_, balloon_;
  ConditionPage condition_;
};

}  // namespace cloister::memory
