// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "policy/memory/admission.h"
#include "policy/memory/pace.h"
#include "policy/memory/targets.h"
#include "sim/guest.h"
#include "sim/series.h"
#include "sim/steadiness.h"

namespace cloister::sim {

// What went against what is promised, at one moment.
struct Violation {
  Nanos when;
  std::string what;
};

// One host of a scenario under a virtual clock: model guests, and the policy code that a real host runs.
//
// Not modelled: sharing, compression, and the time that disks take. A page that is taken is gone, and costs
// its guest miss_cost when it is touched again.
class MemoryHost {
 public:
  // `scenario` outlives it and passes check_scenario(). The same number and seed go the same way.
  MemoryHost(const Scenario& scenario, u32 number, u64 seed);
  ~MemoryHost();
  MemoryHost(const MemoryHost&) = delete;
  MemoryHost& operator=(const MemoryHost&) = delete;

  u32 number() const { return number_; }
  Nanos now() const { return now_; }
  // One step of the scenario; false when it is over.
  bool step();
  // Writes down how things stand.
  void record(Series& series) const;

  struct GuestSummary {
    std::string name;
    Nanos lifetime{};
    pm::Fraction speed;
    u64 mean_held = 0;  // pages
    u64 taken = 0;      // pages, in all
    u32 starts = 0;
    u32 refusals = 0;  // at admission
  };
  struct Summary {
    std::vector<GuestSummary> guests;
    u64 plans = 0;
    u64 state_changes = 0;
    Nanos in_state[4] = {};
    std::vector<Violation> violations;  // Bound: the first kMostViolations
    u64 violation_count = 0;
  };
  static constexpr std::size_t kMostViolations = 20;
  Summary summary() const;

 private:
  struct Seat;

  void fill_seats();
  void start_and_stop();
  void start(Seat& seat);
  void stop(Seat& seat);
  void inject_faults();
  void change_settings(Seat& seat);
  Seat* random_running();
  void run_guests();
  void sample(Seat& seat);
  void something_happened();
  void excuse_swings();
  void update_state();
  void plan();
  pm::Plan make_plan(const std::vector<pm::Holding>& holdings) const;
  void adopt(Seat& seat, const pm::Decision& decision);
  void take_back();
  void ask(Seat& seat);
  void give_out();
  void check();
  void check_waiting(Seat& seat);
  void report(std::string what);
  pm::Room room() const;
  Units total() const;
  Pages goal() const { return states_.thresholds().goal(); }

  const Scenario& scenario_;
  const u32 number_;
  Random random_;
  pm::ClientTree tree_;
  pm::StateTracker states_;
  std::vector<std::unique_ptr<Seat>> seats_;
  Nanos now_{};
  Units free_{};
  Bytes overhead_{};
  Bytes swap_taken_{};
  bool stale_ = true;  // targets must be made anew
  Summary so_far_;
};

}  // namespace cloister::sim
