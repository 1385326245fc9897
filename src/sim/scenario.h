// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "policy/memory/activity.h"
#include "policy/memory/client_tree.h"
#include "policy/memory/states.h"
#include "sim/workload.h"

// What `cloister-sim memory` is told to simulate (docs/cloister-sim.1.md).
namespace cloister::sim {

namespace pm = policy::memory;

// What a guest does when it is asked for memory.
enum class Behaviour : u8 {
  kHonest,   // gives what is asked
  kSlow,     // gives a tenth of it in the time
  kRefuses,  // gives nothing
  kLies,     // says that it gave, and gives nothing
  kHog,      // honest, but touches all its memory all the time to look busy
};

struct GuestSpec {
  std::string name;  // with a count above 1: name-1, name-2, …
  std::string pool;  // empty: the host's
  u32 count = 1;
  Units size{};
  pm::Settings settings;
  Bytes overhead{24 * kMiB};
  Nanos start{};
  std::optional<Nanos> stop;
  bool fills =
      false;  // touches all its memory once, as a file cache does; what it does not work with is then idle
  Behaviour behaviour = Behaviour::kHonest;
  WorkloadSpec work;
  u64 miss_cost = 20;          // time for a reference that misses, in such for one that hits
  u64 references = 1'000'000;  // a second, when nothing misses
};

struct PoolSpec {
  std::string name;
  std::string parent;  // empty: the host's
  pm::Settings settings;
};

// For each host, on average.
struct FaultSpec {
  u32 kills_per_hour = 0;    // a machine dies, and starts again after `restart`
  u32 stalls_per_hour = 0;   // a machine gives nothing for a minute, whatever its behaviour
  u32 changes_per_hour = 0;  // a machine gets other shares, or another minimum
  Nanos restart = seconds(30);
};

struct Scenario {
  u64 seed = 1;
  u32 hosts = 1;
  Nanos duration = hours(1);
  Nanos step = seconds(1);     // between two looks at everything
  Nanos record = seconds(10);  // between two rows of the series
  Bytes memory{};              // the host's pool: guests, their overhead and what is kept free
  std::optional<Bytes> swap;   // none: as much as is needed
  pm::ThresholdKind thresholds = pm::ThresholdKind::kSliding;
  pm::Tax tax;
  bool by_worth = false;  // targets by miss-ratio curves
  pm::ActivitySettings activity;
  FaultSpec faults;
  std::vector<PoolSpec> pools;
  std::vector<GuestSpec> guests;
};

// A TOML text. `origin` names it in errors ("lab.toml:3:1: unknown key 'siz'…"); files that it names are
// looked for in `folder`. Refused: unknown keys, values of another type or out of range, and what no host
// could hold.
Result<Scenario> read_scenario(std::string_view text, std::string_view origin, const std::string& folder);
Result<Scenario> read_scenario_file(const std::string& path);

// What would be refused when the simulation begins: pools that are not there, names given twice, a pool too
// small.
Result<void> check_scenario(const Scenario& scenario);

// The keys of each table, with their meaning: for --help.
std::string scenario_keys();

}  // namespace cloister::sim
