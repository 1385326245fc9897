// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "sim/memory_host.h"

namespace cloister::sim {

// What a host knows of one guest, running or not.
struct MemoryHost::Seat {
  Seat(const GuestSpec& of, std::string called)
      : spec(of), name(std::move(called)), steadiness(Units{of.size.raw / 5}, minutes(3)) {}

  bool runs() const { return guest != nullptr; }

  const GuestSpec& spec;
  const std::string name;

  // While it runs.
  std::unique_ptr<Guest> guest;
  pm::ClientId id;
  pm::ActivityEstimator estimator;
  std::unique_ptr<pm::MissRatioSampler> curve;
  std::optional<pm::Demand> demand;
  Units target{};
  pm::Price price;
  Steadiness steadiness;
  Nanos short_since{};  // held less than its target and wanted more, ever since
  Nanos bare_since{};   // the same of its minimum

  std::optional<Nanos> start_at;
  GuestSummary so_far;
  u128 held_time = 0;   // pages x nanoseconds
  u128 speed_time = 0;  // millionths x nanoseconds
};

}  // namespace cloister::sim
