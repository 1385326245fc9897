// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "base/random.h"
#include "policy/memory/tax.h"
#include "sim/duration.h"

// How much memory a model guest works with, over time.
namespace cloister::sim {

using policy::memory::Units;

enum class Shape : u8 {
  kSteps,   // as `points` say: also a recorded trace
  kWave,    // up and down between low and high, evenly, once a period; each guest begins somewhere else
  kBursts,  // low, and high for a while, at random; both last a period on average
  kWalk,    // somewhere between low and high, a random step each period
};

struct WorkPoint {
  Nanos at;
  Units working;
};

struct WorkloadSpec {
  Shape shape = Shape::kSteps;
  std::vector<WorkPoint> points;  // in the order of time; nothing before the first
  Units low{};
  Units high{};
  Nanos period = minutes(10);
};

class Workload {
 public:
  // The same seed makes the same work. Precondition: low <= high; period > 0.
  Workload(WorkloadSpec spec, u64 seed);

  // The working set. Call with times that do not fall.
  Units at(Nanos now);
  // True when the last at() said something else than the one before, by more than wave's smooth way.
  bool jumped() const { return jumped_; }

 private:
  Units steps(Nanos now);
  Units wave(Nanos now) const;
  Units random_level();

  WorkloadSpec spec_;
  Random random_;
  std::size_t next_point_ = 0;
  Nanos phase_{};
  Nanos change_at_{};
  Units level_{};
  bool jumped_ = false;
};

}  // namespace cloister::sim
