// SPDX-License-Identifier: Apache-2.0
#include "policy/memory/activity.h"

#include <algorithm>

// Three averages, and the largest of them.
//
// A client that begins to use more must be believed at once, or it starves; one that uses less may only be
// resting. So the slow average remembers, the fast one follows, and a third, the fast one as it would be if
// the period ended now, sees a rise within the period. The largest counts.
//
// How long units have been idle, for the tax by time, comes from the same samples: if a working set only
// grows and shrinks, what was touched within the last m periods is the largest of those m estimates. Sets
// that wander touch more than that, so it errs to more idle time and never below the estimate itself.
namespace cloister::policy::memory {
namespace {

Fraction average(Fraction old, Fraction news, Fraction weight) {
  const u64 sum = u64{old.raw} * weight.rest().raw + u64{news.raw} * weight.raw;
  return {static_cast<u32>((sum + Fraction::kWhole / 2) / Fraction::kWhole)};
}

u64 square_root(u64 square) {
  u64 root = 0;
  for (u64 bit = u64{1} << 31; bit > 0; bit >>= 1) {
    if ((root | bit) * (root | bit) <= square) root |= bit;
  }
  return root;
}

}  // namespace

Usage Activity::usage(Units size) const {
  Usage usage;
  for (std::size_t i = 0; i < kAges; ++i) usage.touched[i] = {within[i].of_rounded_up(size.raw)};
  return usage;
}

Fraction standard_error(Fraction f, u32 samples) {
  CHECK(samples > 0);
  return {static_cast<u32>(square_root(u64{f.raw} * f.rest().raw / samples))};
}

ActivityEstimator::ActivityEstimator(ActivitySettings settings)
    : settings_(settings), current_samples_(settings.samples) {
  CHECK(settings.samples > 0);
}

void ActivityEstimator::change(ActivitySettings settings) {
  CHECK(settings.samples > 0);
  settings_ = settings;
}

void ActivityEstimator::begin(Nanos run, Nanos wall) {
  current_samples_ = settings_.samples;
  touched_ = 0;
  run_begin_ = run;
  wall_begin_ = wall;
}

void ActivityEstimator::note(u32 touched) {
  CHECK(touched <= current_samples_);
  touched_ = touched;
}

bool ActivityEstimator::is_over(Nanos run, Nanos wall) const {
  return run - run_begin_ >= settings_.period || wall - wall_begin_ >= settings_.longest_period;
}

void ActivityEstimator::end(u32 touched) {
  note(touched);
  const Fraction found = Fraction::ratio(touched, current_samples_);
  slow_ = periods_ == 0 ? found : average(slow_, found, settings_.slow);
  fast_ = periods_ == 0 ? found : average(fast_, found, settings_.fast);
  history_[periods_ % kHistory] = found;
  ++periods_;
  touched_ = 0;
}

Fraction ActivityEstimator::running() const {
  return average(fast_, Fraction::ratio(touched_, current_samples_), settings_.fast);
}

Activity ActivityEstimator::activity() const {
  if (periods_ == 0) return {};
  Activity result;
  Fraction most = std::max({slow_, fast_, running(), settings_.floor});
  result.within[0] = most;
  u64 age = 0;
  for (std::size_t j = 1; j < kAges; ++j) {
    for (; age < std::min(u64{1} << j, periods_); ++age)
      most = std::max(most, history_[(periods_ - 1 - age) % kHistory]);
    result.within[j] = most;
  }
  return result;
}

}  // namespace cloister::policy::memory
