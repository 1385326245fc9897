// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "cell/control.h"
#include "host/cell.h"
#include "host/events.h"
#include "host/ledger.h"
#include "host/member.h"
#include "host/settings.h"
#include "policy/memory/admission.h"
#include "policy/memory/client_tree.h"
#include "policy/memory/states.h"
#include "policy/memory/targets.h"

namespace cloister::host {

// What cells are told of sampling.
cell::control::Settings sampling_of(const Settings& settings);

// Moves frames between the cells as the policy says: feeds it what is held and how much of that is used,
// grants, and orders to give back. The essay is in governor.cpp. On the event loop's thread; `now` is
// monotonic and never steps back.
class Governor {
 public:
  // Settings and events outlive it.
  Governor(const Settings& settings, Events& events);

  // Whether such a machine may start now; nothing is changed.
  Result<policy::memory::Verdict> admit(const MachineOrder& order) const;
  // The same for a running one that gets other terms; and doing it.
  Result<policy::memory::Verdict> admit_change(const Cell& cell, const MachineOrder& order) const;
  Result<void> change_terms(Cell& cell, Nanos now);
  // A pool, a tax or thresholds were changed in the settings. Refused: a pool that does not hold the
  // minimums.
  Result<void> check_pool(Bytes pool) const;
  void change_settings(Nanos now);

  // -- Cells come and go.
  // A cell has a process; `file` has what it holds. Refused: what the policy refuses.
  Result<void> join(Cell& cell, HeldFile file, Nanos now);
  // The process is gone, and with it all that it held.
  void leave(Cell& cell, Nanos now);
  void registered(Cell& cell, const cell::control::Hello& hello, Nanos now);
  // The channel is gone: what was ordered is not awaited.
  void lost(Cell& cell);
  // Want, Back, Done and Report; others are no matter of memory.
  void said(Cell& cell, const cell::control::Message& message, Nanos now);

  // To be called when tick_after() has passed: deadlines, silence, steps.
  void tick(Nanos now);
  Nanos tick_after() const;

  // -- Frames that cells share are held by the daemon, in an account of its own.
  bool take_vault_frame();
  void give_vault_frames(Pages frames);
  Pages vault_frames() const { return ledger_.account(vaults_).held; }
  // What a cell maps of its group's vault, and how many cells the group has.
  struct VaultUse {
    Pages frames;
    u64 cells = 0;
  };
  void set_vault_use(std::function<VaultUse(const Cell&)> use) { vault_use_ = std::move(use); }

  // -- What is known.
  const Ledger& ledger() const { return ledger_; }
  policy::memory::HostState state() const { return tracker_.state(); }
  const policy::memory::Thresholds& thresholds() const { return tracker_.thresholds(); }
  Pages goal() const;
  policy::memory::Room room() const;
  const policy::memory::ClientTree& tree() const { return tree_; }
  // Nothing when it does not run.
  const Member* find(const Cell& cell) const;
  std::size_t members() const { return members_.size(); }
  // Why it has what it has, in sentences.
  std::string explain(const Cell& cell) const;

  // CHECKs that the books agree with each other, the held files and the cells.
  void check_invariants() const;

 private:
  Member* find(Cell& cell);
  void lie(Member& member, const std::string& what);
  void after_change(Nanos now);

  // governor_grants.cpp
  void on_want(Member& member, const cell::control::Want& want, Nanos now);
  void on_back(Member& member, const cell::control::Back& back, Nanos now);
  void serve(Nanos now);
  void serve_one(Member& member, Nanos now);
  Pages ceiling(const Member& member) const;
  bool grant(Member& member, Pages pages);
  void grant_burst(Member& member);
  bool plenty(Pages beyond) const { return ledger_.free() >= goal() + beyond; }
  void let_it_make_room(Member& member, Nanos now);
  // What the targets divide.
  Pages divisible() const;
  Pages held(const Member& member) const { return ledger_.account(member.account).held; }

  // governor_orders.cpp
  policy::memory::Plan make_plan() const;
  void recompute(Nanos now);
  void update_state(Nanos now);
  bool may_be_asked(const Member& member, Nanos now) const;
  void demand_what_is_needed(Nanos now);
  Pages needed() const;
  bool is_urgent() const;
  void demand(Member& member, Pages pages, Nanos now);
  void send_order(Member& member, Pages pages, u32 ways, Nanos now);
  void on_done(Member& member, const cell::control::Done& done, Nanos now);
  void settle(Member& member, bool gave, Nanos now);
  void look_at_deadline(Member& member, Nanos now);
  void enforce_limits(Nanos now);
  void hold_still();
  void tell_standings(Nanos now);
  void entitle(Nanos now);

  // governor_reports.cpp
  void on_report(Member& member, const cell::control::Report& report, Nanos now);
  void estimate(Member& member, const cell::control::Report& report, Nanos now);
  void learn_worth(Member& member, const cell::control::Report& report);
  void measure(Member& member, bool agrees);
  void look_for_silence(Member& member, Nanos now);

  const Settings& settings_;
  Events& events_;
  Ledger ledger_;
  const Ledger::AccountId vaults_;
  std::function<VaultUse(const Cell&)> vault_use_;
  policy::memory::ClientTree tree_;
  policy::memory::StateTracker tracker_;
  std::map<const Cell*, std::unique_ptr<Member>> members_;
  policy::memory::Units unclaimed_{};
  u64 next_order_ = 1;
  Nanos computed_;
  Nanos entitled_;     // when entitlements were computed
  bool stale_ = true;  // something changed since
};

}  // namespace cloister::host
