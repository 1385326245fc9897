// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string_view>

#include "base/units.h"

// How short of memory the host is, and what is done about it. Source: Waldspurger, OSDI 2002, section 6.3.
namespace cloister::policy::memory {

enum class HostState : u8 { kHigh, kSoft, kHard, kLow };
std::string_view name_of(HostState state);

enum class ThresholdKind : u8 {
  kFixed,    // 6, 4, 2 and 1 % of the pool
  kSliding,  // 6 % of the first 4 GiB, 4 % up to 12, 2 % up to 28, 1 % of the rest; then 64, 32 and 16 % of
             // it
};

// Free memory below which the state of that name is left for the next lower one. Rounded up; each is at least
// one page above the next. Precondition: pool >= kSmallestPool.
struct Thresholds {
  Pages high, soft, hard, low;

  static constexpr Pages kSmallestPool{1024};
  static Thresholds of(ThresholdKind kind, Pages pool);

  // What targets must leave free, so that every state ends in kHigh: enough to enter it.
  Pages goal() const;
  // Free memory at which `state` is entered from below, and at which from above. kLow has no lower one to be
  // entered from and kHigh no higher one: 0 and all.
  Pages upward(HostState state) const;
  Pages downward(HostState state) const;
};

// Ways to take a page, cheapest first.
enum class Way : u8 { kZero, kFreeReported, kBalloon, kSharing, kCompression, kSwap };
std::string_view name_of(Way way);

struct Actions {
  std::span<const Way> ways;  // in the order in which they are tried
  bool stop_above_target;     // the harts of a VM that holds more than its target, until it does not
};
Actions actions(HostState state);

// Moves one level at a time: downward when free falls below a level's threshold, upward only when it exceeds
// the higher level's threshold by half the gap to the next.
class StateTracker {
 public:
  explicit StateTracker(const Thresholds& thresholds) : thresholds_(thresholds) {}

  HostState state() const { return state_; }
  const Thresholds& thresholds() const { return thresholds_; }
  // The pool's size or the kind of thresholds changed.
  void change(const Thresholds& thresholds) { thresholds_ = thresholds; }
  // One level at most; true when it moved. Call again until it does not, or act on each level first.
  bool update(Pages free);

 private:
  Thresholds thresholds_;
  HostState state_ = HostState::kHigh;
};

}  // namespace cloister::policy::memory
