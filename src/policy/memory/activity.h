// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>

#include "base/units.h"
#include "policy/memory/tax.h"

// How much of its memory a client really uses, by sampling. Source: Waldspurger, OSDI 2002, section 5.3.
namespace cloister::policy::memory {

// The parts of the configured size that were touched within the last 2^j periods; the first is the estimate.
struct Activity {
  std::array<Fraction, kAges> within = all(Fraction::whole());

  static constexpr std::array<Fraction, kAges> all(Fraction part) {
    std::array<Fraction, kAges> parts{};
    parts.fill(part);
    return parts;
  }
  static constexpr Activity of(Fraction part) { return {all(part)}; }

  constexpr Fraction estimate() const { return within[0]; }
  // Rounded up: a part of a unit is used as a whole one.
  Usage usage(Units size) const;
};

struct ActivitySettings {
  u32 samples = 100;                      // n: pages watched in each period; 1 or more
  Nanos period{30'000'000'000};           // of the client's run time
  Nanos longest_period{60'000'000'000};   // of wall time: the estimate of one that is halted goes on falling
  Fraction slow = Fraction::percent(10);  // weight of a new period in the slow average
  Fraction fast = Fraction::percent(50);  // and in the fast one
  Fraction floor = Fraction::percent(1);  // nobody is taken to use less
};

// sqrt(f (1 - f) / n): by how much f, from n samples, may be off. Precondition: samples > 0.
Fraction standard_error(Fraction f, u32 samples);

// Tells what to do with the samples of one client, and what they say. The sampler drops the mappings of
// `samples` pages picked uniformly over the configured size when a period begins, and counts the first
// touches by harts and devices. Not thread safe.
class ActivityEstimator {
 public:
  explicit ActivityEstimator(ActivitySettings settings = {});

  const ActivitySettings& settings() const { return settings_; }
  // From the next period on.
  void change(ActivitySettings settings);

  // A period begins: at such run time of the client, such wall time.
  void begin(Nanos run, Nanos wall);
  // So many of the samples were touched since begin(). Precondition: touched <= samples.
  void note(u32 touched);
  bool is_over(Nanos run, Nanos wall) const;
  // The period ends with so many touched in all; begin() comes next. Precondition: touched <= samples.
  void end(u32 touched);

  // The largest of the slow average, the fast one, and the fast one with the unfinished period's touches in
  // it, at least the floor; the whole until the first period has ended.
  Activity activity() const;
  Fraction estimate() const { return activity().estimate(); }
  Fraction slow() const { return slow_; }
  Fraction fast() const { return fast_; }
  Fraction running() const;
  Fraction error() const { return standard_error(estimate(), current_samples_); }
  u64 periods() const { return periods_; }

 private:
  static constexpr std::size_t kHistory = std::size_t{1} << (kAges - 1);

  ActivitySettings settings_;
  u32 current_samples_;  // of the running period
  u32 touched_ = 0;
  Nanos run_begin_{};
  Nanos wall_begin_{};
  Fraction slow_ = Fraction::whole();
  Fraction fast_ = Fraction::whole();
  u64 periods_ = 0;
  std::array<Fraction, kHistory> history_{};  // of the last periods, the newest at periods_ - 1
};

}  // namespace cloister::policy::memory
