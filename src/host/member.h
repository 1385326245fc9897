// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "cell/control.h"
#include "host/cell.h"
#include "host/ledger.h"
#include "host/records.h"
#include "policy/memory/activity.h"
#include "policy/memory/pace.h"
#include "policy/memory/targets.h"

namespace cloister::host {

// What the governor keeps of one cell that runs.
struct Member {
  // An order to give frames back that is not settled yet.
  struct Order {
    u64 serial = 0;
    policy::memory::Demand demand;
    bool forced = false;    // by every way, whatever the state
    bool answered = false;  // the cell did what it could; what is missing is its guest's until the deadline
  };
  // An order to make room for itself, of which nothing comes back.
  struct Room {
    u64 serial = 0;
    Nanos deadline;
  };

  Member(Cell& cell_, Ledger::AccountId account_, HeldFile file)
      : cell(cell_), account(account_), held_file(std::move(file)) {}

  bool has_worth() const { return worth.curve.references > 0; }

  Cell& cell;
  const Ledger::AccountId account;
  HeldFile held_file;
  policy::memory::ClientId client;
  policy::memory::ActivityEstimator estimator;
  policy::memory::Decision decision;    // the last one about it
  cell::control::Report report;         // the last one from it
  policy::memory::Worth worth;          // what that said of its misses
  Nanos measured;                       // when it was last, or began
  u64 measures = 0;                     // how often it was
  Pages counted_twice;                  // of what it maps, by the last count in parts
  Pages want;                           // asked for and not given yet
  bool waiting = false;                 // a hart stands still for it
  Pages burst;                          // given up by its balloon, and not had back at once yet
  policy::memory::Units entitlement{};  // its target if all used all
  cell::control::Standing told;         // what it was told last, and when
  Nanos told_at;
  std::optional<Order> order;
  std::optional<Room> room;
  Nanos rest_until;      // it gave what it could: not asked again before
  bool overdue = false;  // force brought some, but not all in time; until it is within its limit
  bool still = false;    // its harts were stopped for it holds too much
  bool silent = false;   // reported as such
  u64 lies = 0;
  u64 broken = 0;                                 // orders not met within their time
  Pages taken_by_way[cell::control::kWays] = {};  // since it started
};

}  // namespace cloister::host
