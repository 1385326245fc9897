// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "sim/memory_host.h"

// `cloister-sim memory`: a scenario on all its hosts, and what came of it.
namespace cloister::sim {

// How `cloister-sim` ends (docs/cloister-sim.1.md has the same table).
enum ExitStatus : int {
  kHeld = 0,      // every check held
  kViolated = 1,  // something that is promised did not hold
  kRefused = 2,   // bad input: nothing was simulated
  kFailed = 3,    // results could not be written
};

struct MemoryRequest {
  std::string scenario;      // a TOML file
  std::optional<u64> seed;   // instead of the scenario's
  std::optional<u32> hosts;  // likewise
  std::string out;           // folder for the results; empty: none are written
  u32 plots = 4;             // so many hosts are plotted and have their series written
};

struct MemoryResult {
  u64 seed = 0;
  std::vector<MemoryHost::Summary> hosts;
  std::vector<Series> series;  // of the first `plots` hosts

  u64 violations() const;
};

// Runs all hosts, one after the other, each with a seed of its own made from the scenario's.
MemoryResult simulate(const Scenario& scenario, u32 plots);

std::string to_json(const Scenario& scenario, const MemoryResult& result);
// For people: what became of each kind of guest, and what was violated.
std::string in_words(const Scenario& scenario, const MemoryResult& result);

// All of it, with messages on the standard streams.
ExitStatus run_memory(const MemoryRequest& request);

}  // namespace cloister::sim
