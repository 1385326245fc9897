// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "base/size.h"
#include "sim/seat.h"

// How memory moves on the model host, and what is checked.
//
// Taking begins when the host is not in state high, or when a machine waits to start: at or below its target
// nobody is asked for anything. Each is asked for the next eighth of the gap and has a deadline for it; after
// that what is missing is taken by force. In state low the whole gap is taken at once. What a guest says that
// it gave counts for nothing: free memory grows by what it really gave.
//
// Giving has an order: those below their min, from all that is free; those below their target, down to the
// threshold of state low; in state high anybody, down to where targets leave free memory.
namespace cloister::sim {
namespace {

constexpr Nanos kMostShort = minutes(5);  // below its target while it wants more
constexpr Nanos kMostBare = seconds(30);  // below its minimum while it wants more

Units above(Units from, Units floor) { return from > floor ? from - floor : Units{}; }

}  // namespace

void MemoryHost::update_state() {
  const pm::HostState before = states_.state();
  while (states_.update(pm::pages_of(free_))) ++so_far_.state_changes;
  stale_ = stale_ || states_.state() != before;
}

Units MemoryHost::total() const {
  const Units memory{scenario_.memory.raw / kPageSize};
  return above(memory, {overhead_.raw / kPageSize + goal().raw});
}

pm::Plan MemoryHost::make_plan(const std::vector<pm::Holding>& holdings) const {
  if (!scenario_.by_worth) return pm::targets(tree_, total(), holdings);
  std::vector<pm::Worth> worths;
  for (const auto& seat : seats_) {
    if (!seat->runs() || seat->estimator.periods() == 0) continue;
    worths.push_back({seat->id, seat->curve->curve(), seat->spec.references});
  }
  return pm::targets_by_worth(tree_, total(), holdings, worths);
}

void MemoryHost::plan() {
  std::vector<pm::Holding> holdings;
  for (const auto& seat : seats_) {
    if (seat->runs()) holdings.push_back({seat->id, seat->guest->held(), seat->estimator.activity()});
  }
  const pm::Plan plan = make_plan(holdings);
  if (plan.shortfall.raw > 0)
    report(fmt::format("minimums exceed the memory by {} pages", plan.shortfall.raw));
  std::vector<const pm::Decision*> by_id(tree_.bound());
  for (const pm::Decision& decision : plan.decisions) by_id[decision.client.raw] = &decision;
  for (const auto& seat : seats_) {
    if (seat->runs()) adopt(*seat, *by_id[seat->id.raw]);
  }
  ++so_far_.plans;
  stale_ = false;
}

void MemoryHost::adopt(Seat& seat, const pm::Decision& decision) {
  seat.target = decision.target;
  seat.price = decision.price;
  if (decision.target < tree_.node(seat.id).settings.min)
    report(seat.name + " has a target below its minimum");
  if (seat.demand && seat.demand->target < seat.target) seat.demand.reset();
}

// -- Taking
// ------------------------------------------------------------------------------------------------------

void MemoryHost::take_back() {
  const bool someone_waits = std::any_of(seats_.begin(), seats_.end(), [&](const auto& seat) {
    return !seat->runs() && seat->start_at && *seat->start_at <= now_ + scenario_.step;
  });
  if (states_.state() == pm::HostState::kHigh && !someone_waits) return;
  for (const auto& seat : seats_) {
    if (seat->runs() && seat->guest->held() > seat->target) ask(*seat);
  }
}

void MemoryHost::ask(Seat& seat) {
  Guest& guest = *seat.guest;
  const bool at_once = states_.state() == pm::HostState::kLow;
  if (!seat.demand || seat.demand->met(guest.held())) {
    const Units next = at_once ? seat.target : pm::next_step(guest.held(), seat.target);
    seat.demand = pm::demand(guest.held(), next, now_, {});
  }
  const Units before = guest.held();
  guest.give(above(before, seat.demand->target));
  Units remainder = seat.demand->remainder(guest.held(), now_);
  if (at_once) remainder = above(guest.held(), seat.target);
  guest.take(remainder);
  const Units got = before - guest.held();
  free_ += got;
  seat.so_far.taken += got.raw;
  if (remainder.raw > 0) seat.demand.reset();
  if (got.raw > 0 && guest.held() < tree_.node(seat.id).settings.min)
    report(seat.name + " fell below its minimum");
}

// -- Giving
// ------------------------------------------------------------------------------------------------------

void MemoryHost::give_out() {
  const pm::Thresholds& thresholds = states_.thresholds();
  const bool plenty = states_.state() == pm::HostState::kHigh;
  const auto give = [&](Seat& seat, Units up_to, Units keep) {
    Guest& guest = *seat.guest;
    const Units part = std::min({guest.wants(), above(up_to, guest.held()), above(free_, keep)});
    guest.grant(part);
    free_ -= part;
  };
  const auto for_all = [&](auto&& action) {
    for (const auto& seat : seats_) {
      if (seat->runs()) action(*seat);
    }
  };
  for_all([&](Seat& seat) { give(seat, tree_.node(seat.id).settings.min, {}); });
  for_all([&](Seat& seat) { give(seat, seat.target, pm::units_of(thresholds.low)); });
  if (plenty) for_all([&](Seat& seat) { give(seat, tree_.cap(seat.id), pm::units_of(goal())); });
}

// -- Checking
// ----------------------------------------------------------------------------------------------------

void MemoryHost::check() {
  Units held{};
  for (const auto& seat : seats_) {
    if (!seat->runs()) continue;
    held += seat->guest->held();
    check_waiting(*seat);
    if (seat->steadiness.swings(seat->target, now_)) {
      report(seat->name + "'s target swings to and fro");
      seat->steadiness.excuse(seat->target, now_);
    }
  }
  const Units memory{scenario_.memory.raw / kPageSize};
  const Units known = free_ + held + Units{overhead_.raw / kPageSize};
  if (known != memory) report(fmt::format("frames are not conserved: {} of {}", known.raw, memory.raw));
}

void MemoryHost::check_waiting(Seat& seat) {
  const Guest& guest = *seat.guest;
  const bool wants = guest.wants().raw > 0;
  if (!wants || guest.held() >= seat.target) seat.short_since = now_;
  if (!wants || guest.held() >= tree_.node(seat.id).settings.min) seat.bare_since = now_;
  if (now_ - seat.short_since > kMostShort) {
    report(seat.name + " waits for memory below its target");
    seat.short_since = now_;
  }
  if (now_ - seat.bare_since > kMostBare) {
    report(seat.name + " waits for memory below its minimum");
    seat.bare_since = now_;
  }
}

void MemoryHost::report(std::string what) {
  ++so_far_.violation_count;
  if (so_far_.violations.size() < kMostViolations) so_far_.violations.push_back({now_, std::move(what)});
}

}  // namespace cloister::sim
