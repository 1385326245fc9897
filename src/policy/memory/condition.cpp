// SPDX-License-Identifier: Apache-2.0
#include "policy/memory/condition.h"

#include <algorithm>
#include <utility>

namespace cloister::policy::memory {
namespace {

// What the guest has beyond its part, wherever that is kept.
Units excess_of(const ConditionInputs& inputs) { return gap_of(inputs.held + inputs.swapped, inputs.target); }

// What comes back in a second, as pages from swap.
Units coming_back(const ConditionInputs& inputs) {
  return inputs.swap_in_rate + Units{inputs.unpack_rate.raw / LevelTracker::kUnpackedPerSwapIn};
}

}  // namespace

std::string_view name_of(ConditionLevel level) {
  constexpr std::string_view kNames[] = {"ample", "soft", "hard", "critical"};
  return kNames[static_cast<std::size_t>(level)];
}

Units available_of(const ConditionInputs& inputs) {
  const Units room = inputs.target > inputs.held ? inputs.target - inputs.held : Units{};
  if (!inputs.guest_available) return room;
  // Free memory of the guest that has frames costs the host nothing more; all that has none may be free too.
  const Units free = *inputs.guest_available, without = inputs.without_frames + inputs.swapped;
  const Units framed = free > without ? free - without : Units{};
  return std::min(free, room + framed);
}

bool LevelTracker::update(const ConditionInputs& inputs) {
  if (inputs.held > inputs.target + kSlack) above_ = true;
  if (inputs.held <= inputs.target) above_ = false;
  auto level = static_cast<ConditionLevel>(inputs.state);
  if (!above_) level = std::min(level, ConditionLevel::kSoft);
  if (coming_back(inputs) >= kManySwapIns && excess_of(inputs) > kSlack) short_ = true;
  if (coming_back(inputs) < kFewSwapIns || excess_of(inputs) <= kSlack) short_ = false;
  if (inputs.waited >= std::max(kLittleWaiting, Nanos{inputs.ran.raw / kManyWaits})) waits_ = short_;
  if (!short_ || inputs.waited < Nanos{inputs.ran.raw / kFewWaits}) waits_ = false;
  if (short_) level = std::max(level, ConditionLevel::kHard);
  if (inputs.standing_still || waits_) level = ConditionLevel::kCritical;
  return std::exchange(level_, level) != level;
}

Units LevelTracker::release(const ConditionInputs& inputs) const {
  if (level_ == ConditionLevel::kAmple) return {};
  const Units gap = gap_of(inputs.held, inputs.target);
  if (!short_) return gap;
  return std::max(gap, std::min(excess_of(inputs), Units{coming_back(inputs).raw * kSecondsToRelease}));
}

// Each update counts by the time since the last, up to all of it after the window.
u64 Rate::update(u64 total, Nanos now) {
  constexpr u64 kSecond = 1'000'000'000;
  if (!begun_ || total < last_ || now < at_) {
    begun_ = true;
    rate_ = 0;
  } else if (now > at_) {
    const u64 passed = (now - at_).raw;
    const u64 recent = static_cast<u64>(u128{total - last_} * kSecond / passed);
    const u64 weight = std::min(passed, window_.raw);
    rate_ = static_cast<u64>((u128{recent} * weight + u128{rate_} * (window_.raw - weight)) / window_.raw);
  } else {
    return rate_;
  }
  last_ = total;
  at_ = now;
  return rate_;
}

}  // namespace cloister::policy::memory
