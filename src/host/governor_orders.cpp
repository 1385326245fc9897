// SPDX-License-Identifier: Apache-2.0
// Targets, the host's state, and what is demanded of those who hold more than their part.
#include <algorithm>

#include "base/size.h"
#include "host/governor.h"

namespace cloister::host {

using cell::control::Done;
using policy::memory::Demand;
using policy::memory::HostState;
using policy::memory::pages_of;
using policy::memory::Units;
using policy::memory::units_of;

namespace {

constexpr policy::memory::DeadlineSettings kDeadlines;
// Where nobody waits for the frames, a guest on a busy host has the time to give them itself.
constexpr policy::memory::DeadlineSettings kUnhurried{Nanos{10'000'000'000}, 4096};
// Asking a cell for less at a time costs more than it brings.
constexpr Pages kSmallestStep{256};
constexpr Nanos kRest{1'000'000'000};
constexpr Nanos kBreath{100'000'000};  // before a cell that found no room in itself looks again
// Targets change little within so short a time, whatever comes and goes.
constexpr Nanos kFresh{10'000'000};
constexpr Nanos kTold{1'000'000'000};  // between two words to a guest of what changed little

u32 ways_in(HostState state) {
  u32 ways = 0;
  for (const policy::memory::Way way : policy::memory::actions(state).ways) ways |= cell::control::bit(way);
  return ways;
}

}  // namespace

policy::memory::Plan Governor::make_plan() const {
  std::vector<policy::memory::Holding> holdings;
  std::vector<policy::memory::Worth> worths;
  for (const auto& [cell, member] : members_) {
    holdings.push_back({member->client, units_of(held(*member)), member->estimator.activity()});
    if (member->has_worth()) worths.push_back(member->worth);
  }
  const Units total = units_of(divisible());
  if (settings_.targets == Targets::kActivity) return policy::memory::targets(tree_, total, holdings);
  return policy::memory::targets_by_worth(tree_, total, holdings, worths);
}

void Governor::recompute(Nanos now) {
  const auto plan = make_plan();
  for (const auto& [cell, member] : members_) {
    const auto* decision = plan.find(member->client);
    CHECK(decision != nullptr);
    member->decision = *decision;
  }
  unclaimed_ = plan.unclaimed;
  computed_ = now;
  stale_ = false;
}

void Governor::update_state(Nanos now) {
  while (tracker_.update(ledger_.free())) {
    events_.say(LogLevel::kInfo, "", "state",
                fmt::format("the host is in state {}: {} free", policy::memory::name_of(tracker_.state()),
                            format_size(bytes_of(ledger_.free()))));
    recompute(now);
  }
  if (stale_ && now - computed_ > kFresh) recompute(now);
}

// For those below their part who wait, for a debt, and for the reserve once it was touched.
Pages Governor::needed() const {
  Pages need = ledger_.debt();
  for (const auto& [cell, member] : members_) {
    const Pages target = pages_of(member->decision.target);
    if (held(*member) < target) need += std::min(member->want, target - held(*member));
  }
  if (tracker_.state() != HostState::kHigh) need += goal();
  need -= std::min(need, ledger_.free());
  for (const auto& [cell, member] : members_) {
    if (member->order) {
      const auto& demand = member->order->demand;
      need -= std::min(need, pages_of(demand.asked_for() -
                                      std::min(demand.asked_for(), demand.given(units_of(held(*member))))));
    }
  }
  return need;
}

bool Governor::may_be_asked(const Member& member, Nanos now) const {
  return !member.order && !member.room && member.cell.connected() && now >= member.rest_until;
}

void Governor::demand_what_is_needed(Nanos now) {
  const Pages need = needed();
  if (need == Pages{}) return;
  if (stale_ && now - computed_ > kFresh) recompute(now);
  std::vector<Member*> rich;
  Pages above;
  for (const auto& [cell, member] : members_) {
    const Pages target = pages_of(member->decision.target);
    if (held(*member) <= target) continue;
    above += held(*member) - target;
    if (may_be_asked(*member, now)) rich.push_back(member.get());
  }
  for (Member* member : rich) {
    const Pages gap = held(*member) - pages_of(member->decision.target);
    const u64 part = static_cast<u64>((u128{need.raw} * gap.raw + above.raw - 1) / above.raw);
    demand(*member, std::min(gap, Pages{part}), now);
  }
}

// A machine that has less than its part stands still for want of memory.
bool Governor::is_urgent() const {
  return std::any_of(members_.begin(), members_.end(), [&](const auto& one) {
    const Member& member = *one.second;
    return member.waiting && member.want != Pages{} && held(member) < pages_of(member.decision.target);
  });
}

// Who holds more than its limit, which was lowered, gives it back whatever the host's state; first by what
// its guest can spare, as in `soft`. Its guest has that time once: where swap is slow, force goes on.
void Governor::enforce_limits(Nanos now) {
  for (const auto& [cell, member] : members_) {
    const Pages cap = std::max(pages_of(tree_.cap(member->client)), pages_of(member->decision.min));
    if (held(*member) <= cap) member->overdue = false;
    if (held(*member) <= cap || !may_be_asked(*member, now)) continue;
    const Units has = units_of(held(*member));
    const bool forced = member->overdue;
    const auto& time = tracker_.state() == HostState::kHigh && !forced ? kUnhurried : kDeadlines;
    member->order =
        Member::Order{next_order_++, policy::memory::demand(has, units_of(cap), now, time), forced, false};
    const u32 ways =
        forced ? cell::control::kEveryWay : ways_in(std::max(tracker_.state(), HostState::kSoft));
    send_order(*member, held(*member) - cap, ways, now);
  }
}

// A step of the way: an eighth of the gap, or all of it for who waits below its part.
void Governor::demand(Member& member, Pages pages, Nanos now) {
  const Units has = units_of(held(member));
  const Pages gap = pages_of(has - member.decision.target);
  const Pages step =
      is_urgent() ? gap : pages_of(has - policy::memory::next_step(has, member.decision.target));
  const Pages asked = std::min({pages, std::max(step, kSmallestStep), gap});
  CHECK(units_of(asked) <= has - std::min(has, member.decision.min));
  member.order = Member::Order{
      next_order_++, policy::memory::demand(has, has - units_of(asked), now, kDeadlines), false, false};
  send_order(member, asked, ways_in(tracker_.state()), now);
}

void Governor::send_order(Member& member, Pages pages, u32 ways, Nanos now) {
  const Nanos left = member.order->demand.deadline - now;
  member.cell.send(cell::control::Reclaim{member.order->serial, pages.raw, ways, 0, left.raw,
                                          member.order->demand.target.raw, member.order->forced ? 0u : 1u});
}

// An order that brought less than asked for by gentle ways is repeated by all of them at its deadline; one
// that had all of them got what there is, and the cell is left alone for a while.
void Governor::on_done(Member& member, const Done& done, Nanos now) {
  for (std::size_t i = 0; i < cell::control::kWays; ++i) member.taken_by_way[i] += Pages{done.by_way[i]};
  const Pages cap = pages_of(tree_.cap(member.client));
  const Pages given{done.by_way[static_cast<std::size_t>(policy::memory::Way::kBalloon)]};
  member.burst = std::min(member.burst + std::min(given, cap), cap);
  const bool nothing =
      std::all_of(std::begin(done.by_way), std::end(done.by_way), [](u64 pages) { return pages == 0; });
  if (member.room && member.room->serial == done.order) {
    member.room.reset();
    if (nothing) member.rest_until = now + kBreath;
  } else if (member.order && member.order->serial == done.order) {
    settle(member, !nothing, now);
  } else {
    return;
  }
  after_change(now);
}

void Governor::settle(Member& member, bool gave, Nanos now) {
  Member::Order& order = *member.order;
  const bool met = order.demand.met(units_of(held(member)));
  const bool by_all_ways = order.forced || ways_in(tracker_.state()) == cell::control::kEveryWay;
  order.answered = true;
  if (!met && by_all_ways) member.rest_until = now + kRest;
  if (!met && order.forced) member.overdue = gave;
  if (met || by_all_ways || now >= order.demand.deadline) member.order.reset();
}

void Governor::look_at_deadline(Member& member, Nanos now) {
  if (member.room && now >= member.room->deadline) member.room.reset();
  if (!member.order || now < member.order->demand.deadline) return;
  Member::Order& order = *member.order;
  const Pages rest = pages_of(order.demand.remainder(units_of(held(member)), now));
  if (rest == Pages{}) return member.order.reset();
  if (order.forced) {
    ++member.broken;
    if (!member.overdue) {
      events_.say(LogLevel::kWarning, member.cell.name(), "not-met",
                  fmt::format("it was ordered to give back {} by every way and still owes {}",
                              format_size(bytes_of(pages_of(order.demand.asked_for()))),
                              format_size(bytes_of(rest))));
    }
    member.overdue = true;
    member.rest_until = now + kRest;
    return member.order.reset();
  }
  const Units has = units_of(held(member));
  order = Member::Order{next_order_++, policy::memory::demand(has, has - units_of(rest), now, kDeadlines),
                        true, false};
  send_order(member, rest, cell::control::kEveryWay, now);
}

// In `low`: those above their part wait until they are not.
void Governor::hold_still() {
  const bool low = policy::memory::actions(tracker_.state()).stop_above_target;
  for (const auto& [cell, member] : members_) {
    const bool still = low && held(*member) > pages_of(member->decision.target);
    if (still == member->still) continue;
    member->still = still;
    member->cell.send(cell::control::Still{still ? u64{1} : u64{0}});
  }
}

// What each would get if all used all.
void Governor::entitle(Nanos now) {
  if (entitled_ != Nanos{} && now - entitled_ < kTold) return;
  entitled_ = now;
  const auto plan = policy::memory::targets(tree_, units_of(divisible()), {});
  for (const auto& [cell, member] : members_) {
    const auto* decision = plan.find(member->client);
    CHECK(decision != nullptr);
    member->entitlement = decision->target;
  }
}

// For the guests: at once when the host's state changed or a target moved by much, else each second at most.
void Governor::tell_standings(Nanos now) {
  entitle(now);
  for (const auto& [cell, member] : members_) {
    const cell::control::Standing next{static_cast<u32>(tracker_.state()), 0, member->entitlement.raw,
                                       member->decision.target.raw};
    const cell::control::Standing& told = member->told;
    const u64 moved =
        std::max(next.target_pages, told.target_pages) - std::min(next.target_pages, told.target_pages);
    const bool same =
        next.state == told.state && moved == 0 && next.entitlement_pages == told.entitlement_pages;
    const bool urgent = next.state != told.state || moved > cell->order().size().raw / 64;
    if (!cell->connected() || same || (!urgent && now - member->told_at < kTold)) continue;
    member->told = next;
    member->told_at = now;
    member->cell.send(next);
  }
}

void Governor::tick(Nanos now) {
  for (const auto& [cell, member] : members_) {
    look_at_deadline(*member, now);
    look_for_silence(*member, now);
  }
  after_change(now);
}

Nanos Governor::tick_after() const {
  const bool busy = tracker_.state() != HostState::kHigh ||
                    std::any_of(members_.begin(), members_.end(), [](const auto& one) {
                      const Member& member = *one.second;
                      return member.order || member.room || member.want != Pages{};
                    });
  return Nanos{busy ? u64{50'000'000} : u64{500'000'000}};
}

}  // namespace cloister::host
