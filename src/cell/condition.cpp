// SPDX-License-Identifier: Apache-2.0
#include "cell/condition.h"

#include <algorithm>

namespace cloister::cell {
namespace {

using memory::PageState;
using policy::memory::ConditionInputs;
using policy::memory::Units;
using policy::memory::units_of;

u64 bytes(Pages pages) { return bytes_of(pages).raw; }
u64 bytes(Units units) { return units.raw << kPageShift; }

static_assert(static_cast<u32>(policy::memory::ConditionLevel::kAmple) == CLOISTER_AMPLE &&
              static_cast<u32>(policy::memory::ConditionLevel::kCritical) == CLOISTER_CRITICAL);

// Pages of the value may be free memory of the guest by now: an application that ended gave them back to its
// kernel, and nobody has written to them yet.
Pages balloon_of(const MemoryCondition::Facts& facts, bool had_applications) {
  const Pages there = facts.usage.in(PageState::kBalloonValue);
  if (!had_applications) return there;
  return std::min(there, Pages{facts.balloon.held >> kPageShift});
}

ConditionInputs inputs_of(const MemoryCondition::Facts& facts, const control::Standing& standing) {
  ConditionInputs inputs;
  inputs.state = static_cast<policy::memory::HostState>(standing.state);
  inputs.standing_still = facts.standing_still;
  inputs.target = {standing.target_pages};
  inputs.held = units_of(facts.usage.frames);
  inputs.without_frames =
      units_of(facts.usage.in(PageState::kZero) + facts.usage.in(PageState::kBalloonValue));
  inputs.guest_available = facts.balloon.signs.available;
  inputs.swapped = units_of(facts.usage.in(PageState::kSwapped) + facts.usage.in(PageState::kCompressed));
  return inputs;
}

}  // namespace

MemoryCondition::MemoryCondition(Bytes configured) : configured_(configured) {
  record_.version = CLOISTER_ABI_VERSION;
  record_.configured = record_.entitlement = record_.target = configured.raw;
}

MemoryCondition::News MemoryCondition::update(const Facts& facts) {
  const u64 all = configured_.raw >> kPageShift;
  const control::Standing standing = standing_.value_or(control::Standing{0, 0, all, all});
  ConditionInputs inputs = inputs_of(facts, standing);
  inputs.swap_in_rate = {swap_ins_.update(facts.swapped_in.raw, facts.now)};
  inputs.ran = Nanos{ran_.update(facts.ran.raw, facts.now)};
  inputs.waited = Nanos{waited_.update(facts.usage.waited.raw, facts.now)};
  inputs.unpack_rate = {unpacked_.update(facts.usage.unpacked.raw, facts.now)};
  had_applications_ |= facts.balloon.applications != 0;
  cloister_condition& record = record_;
  const u64 target_before = record.target;
  const bool changed = level_.update(inputs);
  if (changed) ++record.changes;
  record.level = static_cast<u32>(level_.level());
  record.time = facts.ticks;
  record.entitlement = standing.entitlement_pages << kPageShift;
  record.target = bytes(inputs.target);
  record.held = bytes(inputs.held);
  record.balloon = bytes(balloon_of(facts, had_applications_));
  record.gap = bytes(gap_of(inputs.held, inputs.target));
  record.swapped = bytes(inputs.swapped);
  record.swap_in_rate = bytes(inputs.swap_in_rate);
  record.page_out_rate = page_outs_.update(facts.balloon_written.raw, facts.now) << kPageShift;
  record.available = bytes(available_of(inputs));
  record.release = bytes(level_.release(inputs));
  record.deadline = record.release == 0 ? 0 : deadline_;
  if (changed) return News::kLevel;
  return record.target != target_before ? News::kTarget : News::kNone;
}

}  // namespace cloister::cell
