// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "policy/memory/miss_ratio.h"
#include "sim/scenario.h"

namespace cloister::sim {

// A model of a guest: what it touches, what it holds, and how fast its work goes with that.
//
// Of `size` pages some are held, some were taken from it and will be missed when they are touched again, the
// rest was never touched. It works with the first pages of its memory, evenly for the sampler, and the less
// often the higher: the popularity of a page falls evenly to none at the working set's edge, so without the
// coldest part m of it m^2 of the references miss. Whoever takes pages finds those that it does not work with
// first.
class Guest {
 public:
  Guest(const GuestSpec& spec, u64 seed);

  // Time goes by; the work goes on unless the harts stand still.
  void run(Nanos now, Nanos step, bool stands_still);

  Units held() const { return held_; }
  Units working() const { return working_; }
  bool work_jumped() const { return work_.jumped(); }
  Units taken() const { return taken_; }  // and not come back
  Nanos run_time() const { return run_time_; }
  // Of full speed, since the start and in the last step.
  pm::Fraction mean_speed() const;
  pm::Fraction speed() const { return speed_; }

  // How many pages more it would touch at once, were they there.
  Units wants() const;
  void grant(Units units);
  // Asked for so many pages: what it gives, and what it says that it gave.
  struct Given {
    Units really, claimed;
  };
  Given give(Units units);
  // By force.
  void take(Units units);
  // It gives nothing until then.
  void stall(Nanos until) { stalled_until_ = until; }

  // Picks that many pages at random; touched() says how many were touched since.
  void begin_sampling(u32 samples);
  u32 touched() const;
  // Some references of the last period, for the miss-ratio curve.
  void refer(pm::MissRatioSampler& sampler);

 private:
  void lose(Units units);

  const GuestSpec& spec_;
  Random random_;
  Workload work_;
  Units working_{};
  Units held_{};
  Units taken_{};
  Nanos now_{};
  Nanos run_time_{};
  Nanos stalled_until_{};
  pm::Fraction speed_ = pm::Fraction::whole();
  u128 work_done_ = 0;  // nanoseconds at full speed, in millionths
  u64 lifetime_ = 0;    // nanoseconds
  std::vector<u64> sample_;
  Units most_touched_{};  // since begin_sampling()
};

}  // namespace cloister::sim
