// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "policy/memory/states.h"
#include "policy/memory/targets.h"
#include "sim/duration.h"

namespace cloister::sim {

// One guest at one moment.
struct Sample {
  Nanos when{};
  policy::memory::Units held{};
  policy::memory::Units target{};
  policy::memory::Units estimate{};  // of what it works with
  policy::memory::Units working{};   // what it really works with
  u64 price = 0;                     // thousandths of a share for each MiB's worth of used memory; 0: none
  policy::memory::Fraction speed;
};

struct GuestSeries {
  std::string name;
  policy::memory::Units size{};
  policy::memory::Units min{};
  std::vector<Sample> samples;
};

struct HostSample {
  Nanos when{};
  policy::memory::Units free{};
  policy::memory::HostState state = policy::memory::HostState::kHigh;
};

// What one host did, over time.
struct Series {
  u32 host = 0;
  Nanos duration{};
  std::vector<HostSample> host_samples;
  std::vector<GuestSeries> guests;
};

// "host,seconds,vm,size,min,held,target,estimate,working,price,speed,state": sizes in bytes.
std::string csv_head();
std::string to_csv(const Series& series);
// A picture for each guest: what it holds, its target, what it works with and what is thought that it does;
// its price below.
std::string to_svg(const Series& series, const std::string& title);

}  // namespace cloister::sim
