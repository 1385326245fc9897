// SPDX-License-Identifier: Apache-2.0
//
// How frames move
//
// A cell that runs out of its allowance says Want. While the host has plenty (free stays above what the
// targets leave free), it gets what it wants at once, up to its size or limit. When there is not plenty, the
// policy divides what there is, and a cell gets on demand what it lacks of its target. What it wants beyond
// that it must find in what it holds: it is told to make room for itself, by the ways that cost it least.
//
// What is missing for the wants below target, for a debt, and in every state but `high` for the reserve, is
// demanded of those above target, in proportion to how far above they are; from each an eighth of its gap
// at a time, the next step when the last was answered. A demand has a deadline. What is missing then, and
// no more, is demanded once again by every way; and if that is not met either, everybody hears of it.
//
// Nothing here believes a cell. An allowance changes on the daemon's side first when it grows, so a cell can
// only have less than the books say; a return of more than it holds is refused; what it really takes is
// compared with the host kernel's figures (governor_reports.cpp). So a lying cell can hurt itself and
// nobody else, and a dead one gives back by dying all that the books say it held.
#include "host/governor.h"

#include <algorithm>

#include "base/size.h"

namespace cloister::host {

using policy::memory::Thresholds;
using policy::memory::Units;

namespace {

Pages pages_in(Bytes bytes) { return {bytes.raw >> kPageShift}; }

}  // namespace

Governor::Governor(const Settings& settings, Events& events)
    : settings_(settings),
      events_(events),
      ledger_(pages_in(settings.pool)),
      vaults_(ledger_.open()),
      tree_(settings.tax),
      tracker_(Thresholds::of(settings.thresholds, pages_in(settings.pool))) {}

Pages Governor::goal() const { return tracker_.thresholds().goal(); }

policy::memory::Room Governor::room() const {
  policy::memory::Room room;
  room.pool = settings_.pool;
  room.headroom = bytes_of(goal());
  room.swap = settings_.swap;
  for (const auto& [cell, member] : members_) {
    const Bytes measured = bytes_of(ledger_.account(member->account).overhead);
    room.overhead += std::max(measured, settings_.cell_overhead);
    room.swap_taken +=
        policy::memory::swap_needed(tree_.cap(member->client), tree_.node(member->client).settings.min, {});
  }
  return room;
}

Result<policy::memory::Verdict> Governor::admit(const MachineOrder& order) const {
  policy::memory::Candidate candidate;
  candidate.name = order.name;
  candidate.size = order.size();
  candidate.settings = order.terms.policy;
  candidate.overhead = settings_.cell_overhead;
  return policy::memory::admit(tree_, room(), candidate);
}

Result<policy::memory::Verdict> Governor::admit_change(const Cell& cell, const MachineOrder& order) const {
  const Member* member = find(cell);
  CHECK(member != nullptr);
  return policy::memory::admit_change(tree_, room(), member->client, order.terms.policy);
}

Result<void> Governor::change_terms(Cell& cell, Nanos now) {
  Member* member = find(cell);
  CHECK(member != nullptr);
  TRY(tree_.change(member->client, cell.order().terms.policy));
  recompute(now);
  after_change(now);
  return {};
}

Result<void> Governor::check_pool(Bytes pool) const {
  const Bytes headroom = bytes_of(Thresholds::of(settings_.thresholds, pages_in(pool)).goal());
  const Bytes needed =
      bytes_of(policy::memory::pages_of(tree_.reserved(policy::memory::kRoot))) + room().overhead + headroom;
  if (needed <= pool) return {};
  return error(
      "a pool of {} is too small: the running machines' minimums, their overhead and the reserve need "
      "{} bytes more; stop a machine, lower a minimum or make the pool larger",
      format_size(pool), (needed - pool).raw);
}

void Governor::change_settings(Nanos now) {
  ledger_.resize(pages_in(settings_.pool));
  tracker_.change(Thresholds::of(settings_.thresholds, ledger_.pool()));
  CHECK(tree_.set_tax(settings_.tax).ok());
  for (const auto& [cell, member] : members_) {
    member->estimator.change(settings_.activity);
    member->cell.send(sampling_of(settings_));
  }
  recompute(now);
  after_change(now);
}

Result<void> Governor::join(Cell& cell, HeldFile file, Nanos now) {
  CHECK(find(cell) == nullptr);
  const auto client = TRY(
      tree_.add_client(policy::memory::kRoot, cell.name(), cell.order().size(), cell.order().terms.policy));
  const auto account = ledger_.open(file.held());
  auto member = std::make_unique<Member>(cell, account, std::move(file));
  member->client = client;
  member->estimator.change(settings_.activity);
  member->estimator.begin(Nanos{}, now);
  ledger_.measure(account, pages_in(settings_.cell_overhead));
  members_.emplace(&cell, std::move(member));
  entitled_ = {};
  recompute(now);  // nobody is without a target of his own, not for a moment
  after_change(now);
  return {};
}

void Governor::leave(Cell& cell, Nanos now) {
  const auto found = members_.find(&cell);
  if (found == members_.end()) return;
  ledger_.close(found->second->account);
  CHECK(tree_.remove(found->second->client).ok());
  members_.erase(found);
  entitled_ = {};
  after_change(now);
}

// What was on its way when the channel broke never arrived: the cell's own figure is the true one as long as
// it is the lower.
void Governor::registered(Cell& cell, const cell::control::Hello& hello, Nanos now) {
  Member* member = find(cell);
  CHECK(member != nullptr);
  const Pages known = held(*member);
  if (hello.held_pages > known.raw) {
    lie(*member, fmt::format("it claims to hold {} pages and was given {}", hello.held_pages, known.raw));
  } else {
    CHECK(ledger_.give_back(member->account, known - Pages{hello.held_pages}));
    (void)member->held_file.write(held(*member));
  }
  member->silent = false;
  member->measured = hello.held_pages > 0 ? Nanos{} : now;  // if it runs already, by its first report
  cell.send(cell::control::Welcome{cell::control::kVersion, 0, held(*member).raw});
  cell.send(sampling_of(settings_));
  if (member->still) cell.send(cell::control::Still{1});
  member->told = {};
  member->told_at = {};
  after_change(now);
}

void Governor::lost(Cell& cell) {
  Member* member = find(cell);
  if (member == nullptr) return;
  member->want = {};
  member->order.reset();
  member->room.reset();
}

void Governor::said(Cell& cell, const cell::control::Message& message, Nanos now) {
  Member* member = find(cell);
  CHECK(member != nullptr);
  if (const auto* want = std::get_if<cell::control::Want>(&message)) on_want(*member, *want, now);
  if (const auto* back = std::get_if<cell::control::Back>(&message)) on_back(*member, *back, now);
  if (const auto* done = std::get_if<cell::control::Done>(&message)) on_done(*member, *done, now);
  if (const auto* report = std::get_if<cell::control::Report>(&message)) on_report(*member, *report, now);
}

// Also when memory is short: one frame now, and two or more come back for it.
bool Governor::take_vault_frame() { return ledger_.take(vaults_, Pages{1}) == Pages{1}; }

void Governor::give_vault_frames(Pages frames) { CHECK(ledger_.give_back(vaults_, frames)); }

Pages Governor::divisible() const {
  const Pages there = ledger_.for_guests();
  const Pages aside = goal() + vault_frames();
  return there > aside ? there - aside : Pages{};
}

void Governor::after_change(Nanos now) {
  stale_ = true;
  update_state(now);
  serve(now);
  tell_standings(now);
}

void Governor::lie(Member& member, const std::string& what) {
  ++member.lies;
  events_.say(LogLevel::kError, member.cell.name(), "lied", "the cell is not to be believed: " + what);
}

const Member* Governor::find(const Cell& cell) const {
  const auto found = members_.find(&cell);
  return found == members_.end() ? nullptr : found->second.get();
}
Member* Governor::find(Cell& cell) {
  const auto found = members_.find(&cell);
  return found == members_.end() ? nullptr : found->second.get();
}

void Governor::check_invariants() const {
  ledger_.check_invariants();
  for (const auto& [cell, member] : members_) {
    CHECK(ledger_.has(member->account) && tree_.contains(member->client));
    CHECK(member->held_file.held() == held(*member));
    CHECK(cell->has_process());
  }
}

}  // namespace cloister::host
