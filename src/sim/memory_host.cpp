// SPDX-License-Identifier: Apache-2.0
#include "sim/memory_host.h"

#include <algorithm>

#include "base/size.h"
#include "sim/seat.h"

// The order of one step: machines start, stop and fail; guests work; samples are counted; the host's state
// follows free memory; targets are made anew if something happened; memory is taken, then given; all is
// checked.
namespace cloister::sim {
namespace {

constexpr Nanos kHour = hours(1);
constexpr Nanos kTryAgain = seconds(30);  // after a refusal
constexpr Nanos kStall = minutes(1);

Pages pages_over(Bytes size) { return {(size.raw + kPageSize - 1) / kPageSize}; }

}  // namespace

MemoryHost::MemoryHost(const Scenario& scenario, u32 number, u64 seed)
    : scenario_(scenario),
      number_(number),
      random_(seed),
      tree_(scenario.tax),
      states_(pm::Thresholds::of(scenario.thresholds, Pages{scenario.memory.raw / kPageSize})),
      free_{scenario.memory.raw / kPageSize} {
  for (const PoolSpec& pool : scenario.pools) {
    const pm::ClientId parent = pool.parent.empty() ? pm::kRoot : *tree_.find(pool.parent);
    CHECK(tree_.add_pool(parent, pool.name, pool.settings).ok());
  }
  fill_seats();
}

MemoryHost::~MemoryHost() = default;

void MemoryHost::fill_seats() {
  for (const GuestSpec& spec : scenario_.guests) {
    for (u32 i = 1; i <= spec.count; ++i) {
      const std::string name = spec.count == 1 ? spec.name : fmt::format("{}-{}", spec.name, i);
      seats_.push_back(std::make_unique<Seat>(spec, name));
      seats_.back()->start_at = spec.start;
      seats_.back()->so_far.name = name;
    }
  }
}

bool MemoryHost::step() {
  if (now_ >= scenario_.duration) return false;
  start_and_stop();
  inject_faults();
  run_guests();
  update_state();
  if (stale_) plan();
  take_back();
  give_out();
  check();
  so_far_.in_state[static_cast<std::size_t>(states_.state())] += scenario_.step;
  now_ += scenario_.step;
  return true;
}

// -- Starts, stops and faults
// ----------------------------------------------------------------------------------

void MemoryHost::start_and_stop() {
  for (const auto& seat : seats_) {
    const bool is_over = seat->spec.stop && now_ >= *seat->spec.stop;
    if (seat->runs() && is_over) stop(*seat);
    if (!seat->runs() && !is_over && seat->start_at && now_ >= *seat->start_at) start(*seat);
  }
}

pm::Room MemoryHost::room() const {
  return {.pool = scenario_.memory,
          .headroom = bytes_of(goal()),
          .overhead = overhead_,
          .swap = scenario_.swap.value_or(Bytes{~u64{0}}),
          .swap_taken = swap_taken_};
}

void MemoryHost::start(Seat& seat) {
  const GuestSpec& spec = seat.spec;
  pm::Candidate candidate{
      .name = seat.name, .parent = pm::kRoot, .size = spec.size, .settings = spec.settings};
  if (!spec.pool.empty()) candidate.parent = *tree_.find(spec.pool);
  candidate.overhead = bytes_of(pages_over(spec.overhead));
  const Units needed = pm::units_of(pages_over(spec.overhead));
  const bool admitted = pm::admit(tree_, room(), candidate).take().admitted;
  if (!admitted || free_ < needed) {
    seat.so_far.refusals += !admitted;
    seat.start_at = now_ + (admitted ? scenario_.step : kTryAgain);
    stale_ = true;
    return;
  }
  seat.id = tree_.add_client(candidate.parent, seat.name, spec.size, spec.settings).take();
  seat.guest = std::make_unique<Guest>(spec, random_.next());
  seat.estimator = pm::ActivityEstimator(scenario_.activity);
  seat.curve = std::make_unique<pm::MissRatioSampler>(
      pm::MissRatioSettings{.seed = random_.next(), .first_rate = pm::MissRatioSampler::kModulus / 4});
  seat.guest->begin_sampling(scenario_.activity.samples);
  seat.estimator.begin({}, now_);
  seat.start_at.reset();
  seat.short_since = seat.bare_since = now_;
  ++seat.so_far.starts;
  free_ -= needed;
  overhead_ += candidate.overhead;
  swap_taken_ += pm::swap_needed(tree_.cap(seat.id), spec.settings.min, {});
  something_happened();
}

void MemoryHost::stop(Seat& seat) {
  const Pages overhead = pages_over(seat.spec.overhead);
  free_ += seat.guest->held() + pm::units_of(overhead);
  overhead_ -= bytes_of(overhead);
  swap_taken_ -= pm::swap_needed(tree_.cap(seat.id), tree_.node(seat.id).settings.min, {});
  CHECK(tree_.remove(seat.id).ok());
  seat.guest.reset();
  seat.demand.reset();
  something_happened();
}

MemoryHost::Seat* MemoryHost::random_running() {
  std::vector<Seat*> running;
  for (const auto& seat : seats_) {
    if (seat->runs()) running.push_back(seat.get());
  }
  return running.empty() ? nullptr : running[random_.below(running.size())];
}

void MemoryHost::inject_faults() {
  const auto falls_due = [&](u32 per_hour) {
    return random_.below(kHour.raw) < scenario_.step.raw * per_hour;
  };
  const FaultSpec& faults = scenario_.faults;
  const bool kills = falls_due(faults.kills_per_hour);
  const bool stalls = falls_due(faults.stalls_per_hour);
  const bool changes = falls_due(faults.changes_per_hour);
  if (Seat* victim = kills ? random_running() : nullptr) {
    stop(*victim);
    victim->start_at = now_ + faults.restart;
  }
  if (Seat* seat = stalls ? random_running() : nullptr) seat->guest->stall(now_ + kStall);
  if (Seat* seat = changes ? random_running() : nullptr) change_settings(*seat);
}

// Other shares, or another minimum as far as it is admitted.
void MemoryHost::change_settings(Seat& seat) {
  constexpr pm::ShareLevel kLevels[] = {pm::ShareLevel::kLow, pm::ShareLevel::kNormal, pm::ShareLevel::kHigh};
  pm::Settings settings = tree_.node(seat.id).settings;
  if (random_.one_in(2)) {
    settings.shares = kLevels[random_.below(3)];
  } else {
    settings.min = {random_.below(tree_.cap(seat.id).raw / 2 + 1)};
  }
  const auto verdict = pm::admit_change(tree_, room(), seat.id, settings);
  if (!verdict.ok() || !verdict->admitted) return;
  const auto swap = [&] { return pm::swap_needed(tree_.cap(seat.id), tree_.node(seat.id).settings.min, {}); };
  swap_taken_ -= swap();
  CHECK(tree_.change(seat.id, settings).ok());
  swap_taken_ += swap();
  something_happened();
}

// -- Guests
// ------------------------------------------------------------------------------------------------------

void MemoryHost::run_guests() {
  const bool stops = pm::actions(states_.state()).stop_above_target;
  bool jumped = false;
  for (const auto& seat : seats_) {
    if (!seat->runs()) continue;
    Guest& guest = *seat->guest;
    guest.run(now_, scenario_.step, stops && guest.held() > seat->target);
    jumped = jumped || guest.work_jumped();
    seat->so_far.lifetime += scenario_.step;
    seat->held_time += u128{guest.held().raw} * scenario_.step.raw;
    seat->speed_time += u128{guest.speed().raw} * scenario_.step.raw;
    sample(*seat);
  }
  if (jumped) excuse_swings();
}

// Targets must be made anew, and may well turn.
void MemoryHost::something_happened() {
  stale_ = true;
  excuse_swings();
}

void MemoryHost::excuse_swings() {
  for (const auto& seat : seats_) seat->steadiness.excuse(seat->target, now_);
}

void MemoryHost::sample(Seat& seat) {
  Guest& guest = *seat.guest;
  seat.estimator.note(guest.touched());
  if (!seat.estimator.is_over(guest.run_time(), now_)) return;
  seat.estimator.end(guest.touched());
  if (scenario_.by_worth) {
    seat.curve->age();
    guest.refer(*seat.curve);
  }
  guest.begin_sampling(scenario_.activity.samples);
  seat.estimator.begin(guest.run_time(), now_);
  stale_ = true;
}

// -- What came of it
// -------------------------------------------------------------------------------------------

void MemoryHost::record(Series& series) const {
  series.host = number_;
  series.duration = scenario_.duration;
  series.host_samples.push_back({now_, free_, states_.state()});
  series.guests.resize(seats_.size());
  for (std::size_t i = 0; i < seats_.size(); ++i) {
    const Seat& seat = *seats_[i];
    GuestSeries& to = series.guests[i];
    to.name = seat.name;
    to.size = seat.spec.size;
    to.min = seat.spec.settings.min;
    if (!seat.runs()) continue;
    constexpr u128 kMiBInThousandths = u128{kMiB / kPageSize} * pm::Fraction::kWhole * 1000;
    const u64 price = seat.price.cost == 0
                          ? 0
                          : static_cast<u64>(kMiBInThousandths * seat.price.shares.raw / seat.price.cost);
    const Units estimate{seat.estimator.estimate().of_rounded_up(seat.spec.size.raw)};
    to.samples.push_back(
        {now_, seat.guest->held(), seat.target, estimate, seat.guest->working(), price, seat.guest->speed()});
  }
}

MemoryHost::Summary MemoryHost::summary() const {
  Summary summary = so_far_;
  for (const auto& seat : seats_) {
    GuestSummary one = seat->so_far;
    if (one.lifetime.raw > 0) {
      one.mean_held = static_cast<u64>(seat->held_time / one.lifetime.raw);
      one.speed = {static_cast<u32>(seat->speed_time / one.lifetime.raw)};
    }
    summary.guests.push_back(one);
  }
  return summary;
}

}  // namespace cloister::sim
