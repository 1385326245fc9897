// SPDX-License-Identifier: Apache-2.0
#include "policy/memory/states.h"

#include <algorithm>
#include <limits>

#include "policy/memory/fraction.h"

// Four levels with room between them.
//
//     free memory      downward, at less than        upward, at more than
//     high                                           high + (high - soft) / 2
//     soft             soft                          soft + (high - soft) / 2
//     hard             hard                          hard + (soft - hard) / 2
//     low              low
//
// The threshold `high` itself is only the goal: free memory may lie between soft and high without harm, which
// is why targets aim above it. Going up needs half a gap more than going down, so a figure that wavers by
// less than that moves nothing.
namespace cloister::policy::memory {
namespace {

constexpr u64 kGiBPages = kGiB >> kPageShift;

// A part of the pool between two of its sizes.
struct Slice {
  u64 from, to;
  u32 percent;
};
constexpr Slice kSlices[] = {{0, 4 * kGiBPages, 6},
                             {4 * kGiBPages, 12 * kGiBPages, 4},
                             {12 * kGiBPages, 28 * kGiBPages, 2},
                             {28 * kGiBPages, std::numeric_limits<u64>::max(), 1}};

Pages part(u64 pages, u32 percent) { return {Fraction::percent(percent).of_rounded_up(pages)}; }

Pages sliding_minimum(Pages pool) {
  Pages minimum{};
  for (const Slice& slice : kSlices) {
    if (pool.raw > slice.from) minimum += part(std::min(pool.raw, slice.to) - slice.from, slice.percent);
  }
  return minimum;
}

Pages half_way(Pages lower, Pages upper) { return {lower.raw + (upper.raw - lower.raw) / 2}; }

constexpr Way kBackground[] = {Way::kZero, Way::kSharing};
constexpr Way kCooperative[] = {Way::kZero, Way::kFreeReported, Way::kBalloon, Way::kSharing};
constexpr Way kForcible[] = {Way::kZero,    Way::kFreeReported, Way::kBalloon,
                             Way::kSharing, Way::kCompression,  Way::kSwap};

}  // namespace

std::string_view name_of(HostState state) {
  constexpr std::string_view kNames[] = {"high", "soft", "hard", "low"};
  return kNames[static_cast<std::size_t>(state)];
}

std::string_view name_of(Way way) {
  constexpr std::string_view kNames[] = {"zero",    "free page reporting", "balloon",
                                         "sharing", "compression",         "swap"};
  return kNames[static_cast<std::size_t>(way)];
}

Thresholds Thresholds::of(ThresholdKind kind, Pages pool) {
  CHECK(pool >= kSmallestPool);
  if (kind == ThresholdKind::kFixed)
    return {part(pool.raw, 6), part(pool.raw, 4), part(pool.raw, 2), part(pool.raw, 1)};
  const Pages minimum = sliding_minimum(pool);
  return {minimum, part(minimum.raw, 64), part(minimum.raw, 32), part(minimum.raw, 16)};
}

Pages Thresholds::goal() const { return upward(HostState::kHigh) + Pages{1}; }

Pages Thresholds::upward(HostState state) const {
  switch (state) {
    case HostState::kHigh:
      return high + (half_way(soft, high) - soft);
    case HostState::kSoft:
      return half_way(soft, high);
    case HostState::kHard:
      return half_way(hard, soft);
    case HostState::kLow:
      break;
  }
  return {};
}

Pages Thresholds::downward(HostState state) const {
  switch (state) {
    case HostState::kHigh:
      break;
    case HostState::kSoft:
      return soft;
    case HostState::kHard:
      return hard;
    case HostState::kLow:
      return low;
  }
  return {std::numeric_limits<u64>::max()};
}

Actions actions(HostState state) {
  switch (state) {
    case HostState::kHigh:
      return {kBackground, false};
    case HostState::kSoft:
      return {kCooperative, false};
    case HostState::kHard:
      return {kForcible, false};
    case HostState::kLow:
      break;
  }
  return {kForcible, true};
}

bool StateTracker::update(Pages free) {
  const auto level = static_cast<u8>(state_);
  if (state_ != HostState::kLow) {
    const auto lower = static_cast<HostState>(level + 1);
    if (free < thresholds_.downward(lower)) {
      state_ = lower;
      return true;
    }
  }
  if (state_ != HostState::kHigh) {
    const auto higher = static_cast<HostState>(level - 1);
    if (free > thresholds_.upward(higher)) {
      state_ = higher;
      return true;
    }
  }
  return false;
}

}  // namespace cloister::policy::memory
