// SPDX-License-Identifier: Apache-2.0
#include "sim/guest.h"

#include <algorithm>

namespace cloister::sim {
namespace {

constexpr u64 kWhole = pm::Fraction::kWhole;
constexpr u32 kReferencesAPeriod = 4'000;  // that are shown to the miss-ratio curve

// Of full speed, with so many of the working pages there: 1 / (1 + m^2 (cost - 1)).
pm::Fraction speed_with(Units there, Units working, u64 miss_cost) {
  if (there >= working) return pm::Fraction::whole();
  const u64 missing = pm::Fraction::ratio((working - there).raw, working.raw).raw;
  const u64 misses = missing * missing / kWhole;
  return {static_cast<u32>(kWhole * kWhole / (kWhole + misses * (miss_cost - 1)))};
}

}  // namespace

Guest::Guest(const GuestSpec& spec, u64 seed)
    : spec_(spec), random_(seed), work_(spec.work, random_.next()) {}

void Guest::run(Nanos now, Nanos step, bool stands_still) {
  now_ = now;
  lifetime_ += step.raw;
  if (stands_still) {
    speed_ = {};
    return;
  }
  run_time_ += step;
  working_ = std::min(work_.at(now), spec_.size);
  most_touched_ = std::max(most_touched_, working_);
  speed_ = speed_with(held_, working_, spec_.miss_cost);
  work_done_ += u128{step.raw} * speed_.raw;
}

pm::Fraction Guest::mean_speed() const {
  if (lifetime_ == 0) return pm::Fraction::whole();
  return {static_cast<u32>(work_done_ / lifetime_)};
}

Units Guest::wants() const {
  const Units missing = working_ > held_ ? working_ - held_ : Units{};
  const Units fresh = spec_.fills ? spec_.size - held_ - taken_ : Units{};
  return std::max(missing, fresh);
}

// What it works with comes back first; the rest is memory that it never had.
void Guest::grant(Units units) {
  CHECK(held_ + units <= spec_.size);
  const Units missing = working_ > held_ ? working_ - held_ : Units{};
  const Units fresh = spec_.size - held_ - taken_;
  const Units back = std::max(std::min({units, taken_, missing}), units > fresh ? units - fresh : Units{});
  taken_ -= back;
  held_ += units;
}

Guest::Given Guest::give(Units units) {
  const Units possible = std::min(units, held_);
  Given given{possible, possible};
  if (spec_.behaviour == Behaviour::kSlow) given = {Units{possible.raw / 10}, Units{possible.raw / 10}};
  if (spec_.behaviour == Behaviour::kRefuses || now_ < stalled_until_) given = {};
  if (spec_.behaviour == Behaviour::kLies) given.really = {};
  lose(given.really);
  return given;
}

void Guest::take(Units units) { lose(units); }

void Guest::lose(Units units) {
  CHECK(units <= held_);
  held_ -= units;
  taken_ += units;
}

void Guest::begin_sampling(u32 samples) {
  sample_.clear();
  for (u32 i = 0; i < samples; ++i) sample_.push_back(random_.below(spec_.size.raw));
  most_touched_ = working_;
}

u32 Guest::touched() const {
  const Units edge = spec_.behaviour == Behaviour::kHog ? spec_.size : most_touched_;
  return static_cast<u32>(
      std::count_if(sample_.begin(), sample_.end(), [&](u64 page) { return page < edge.raw; }));
}

// The smaller of two even draws falls evenly in popularity.
void Guest::refer(pm::MissRatioSampler& sampler) {
  const Units edge = spec_.behaviour == Behaviour::kHog ? spec_.size : working_;
  for (u32 i = 0; i < kReferencesAPeriod && edge.raw > 0; ++i)
    sampler.reference(std::min(random_.below(edge.raw), random_.below(edge.raw)));
}

}  // namespace cloister::sim
