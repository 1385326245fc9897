// SPDX-License-Identifier: Apache-2.0
// What cells want, and what they bring back.
#include <algorithm>

#include "host/governor.h"

namespace cloister::host {

using cell::control::Back;
using cell::control::Want;

namespace {

// A cell that asks for this much more than it may ever hold is mistaken about itself.
constexpr Pages kAskSlack{4096};
constexpr Nanos kKeepTime{2'000'000'000};

}  // namespace

void Governor::on_want(Member& member, const Want& want, Nanos now) {
  const Pages cap = policy::memory::pages_of(tree_.cap(member.client));
  if (want.pages > (cap + kAskSlack).raw)
    lie(member, fmt::format("it wants {} pages, and has {} at most", want.pages, cap.raw));
  member.want = Pages{std::min(want.pages, cap.raw)};
  member.waiting = want.waiting != 0;
  if (plenty(member.want)) return serve_one(member, now);
  after_change(now);
}

void Governor::on_back(Member& member, const Back& back, Nanos now) {
  if (!ledger_.give_back(member.account, Pages{back.pages})) {
    return lie(member, fmt::format("it gives back {} pages and holds {}", back.pages, held(member).raw));
  }
  (void)member.held_file.write(held(member));
  update_state(now);
  serve(now);
}

// The most that it may hold now.
Pages Governor::ceiling(const Member& member) const {
  const Pages cap = policy::memory::pages_of(tree_.cap(member.client));
  if (plenty(Pages{1})) return cap;
  return std::min(cap, policy::memory::pages_of(std::max(member.decision.target, member.decision.min)));
}

bool Governor::grant(Member& member, Pages pages) {
  const Pages before = held(member);
  const Pages granted = ledger_.take(member.account, pages);
  if (granted == Pages{}) return false;
  // On record before the cell hears of it.
  if (!member.held_file.write(held(member)).ok()) {
    CHECK(ledger_.give_back(member.account, granted) && held(member) == before);
    events_.say(LogLevel::kError, member.cell.name(), "record",
                "its allowance cannot be written down; it gets no more");
    return false;
  }
  member.want -= std::min(member.want, granted);
  member.cell.send(cell::control::Grant{granted.raw});
  return true;
}

void Governor::serve_one(Member& member, Nanos now) {
  const Pages most = ceiling(member);
  const Pages has = held(member);
  if (member.want == Pages{} || !member.cell.connected()) return;
  if (has < most) {
    Pages part = std::min(member.want, most - has);
    // Above its target it gets only what is over the reserve.
    if (has + part > policy::memory::pages_of(member.decision.target) && ledger_.free() > goal()) {
      part = std::min(part, std::max(ledger_.free() - goal(), Pages{1}));
    }
    grant(member, part);
  }
  if (member.waiting && member.want != Pages{}) grant_burst(member);
  if (member.want != Pages{} && held(member) >= ceiling(member)) let_it_make_room(member, now);
}

// Who gave memory up by its balloon and wants it back, as when the balloon's program was killed for want of
// memory, does not wait while the pool has any: its guest's kernel counts on memory that it sees as free. So
// much it gave, so much it gets from the reserve; what it then holds above its part is demanded of it as of
// anybody.
void Governor::grant_burst(Member& member) {
  const Pages low = tracker_.thresholds().low;
  const Pages cap = policy::memory::pages_of(tree_.cap(member.client));
  if (ledger_.free() <= low || held(member) >= cap) return;
  const Pages part = std::min({member.want, member.burst, ledger_.free() - low, cap - held(member)});
  if (part != Pages{} && grant(member, part)) member.burst -= std::min(member.burst, part);
}

// The poorest first: what it lacks is the least of what it should have.
void Governor::serve(Nanos now) {
  std::vector<Member*> wanting;
  for (const auto& [cell, member] : members_) {
    if (member->want != Pages{} && cell->connected()) wanting.push_back(member.get());
  }
  if (!wanting.empty() && stale_ && !plenty(Pages{})) recompute(now);
  std::stable_sort(wanting.begin(), wanting.end(), [&](const Member* a, const Member* b) {
    return u128{held(*a).raw} * b->decision.target.raw < u128{held(*b).raw} * a->decision.target.raw;
  });
  for (Member* member : wanting) serve_one(*member, now);
  demand_what_is_needed(now);
  enforce_limits(now);
  hold_still();
}

// Also while its guest has time to give up what is demanded: it must not stand still meanwhile.
void Governor::let_it_make_room(Member& member, Nanos now) {
  if (member.room || (member.order && !member.order->answered) || now < member.rest_until) return;
  member.room = Member::Room{next_order_++, now + kKeepTime};
  member.cell.send(cell::control::Reclaim{member.room->serial, member.want.raw, cell::control::kEveryWay, 1,
                                          kKeepTime.raw, 0, 0});
  member.want = {};
}

}  // namespace cloister::host
