// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "base/lock.h"
#include "base/os/thread.h"
#include "base/result.h"
#include "cell/control.h"
#include "cell/curve_sampler.h"
#include "cell/lease.h"
#include "cell/sample_period.h"
#include "memory/guest_memory.h"
#include "memory/reclaimer.h"
#include "memory/sampler.h"

namespace cloister::cell {

// The thread that does for the guest's memory what nobody may wait for: carries out orders to make room, and
// samples what the guest uses. The calls are from any thread.
class Housekeeper {
 public:
  // The guest's own part in making room. Any thread.
  struct Guest {
    std::function<bool()> able;                      // somebody there may give up memory
    std::function<void(Pages, Nanos deadline)> ask;  // for so much more
    std::function<bool()> spent;                     // nothing more will come of what was asked for last
  };

  // `done` tells the end of an order, on the housekeeper's thread; `run_time` is the guest's so far. All
  // outlive it.
  Housekeeper(memory::GuestMemory& memory, Lease& lease, std::function<void(const control::Done&)> done,
              std::function<Nanos()> run_time);
  ~Housekeeper();
  Housekeeper(const Housekeeper&) = delete;
  Housekeeper& operator=(const Housekeeper&) = delete;

  // Before start().
  void set_guest(Guest guest) { guest_ = std::move(guest); }
  Result<void> start();
  // It touches the memory no more. Also at its end.
  void stop();
  // Another order takes the place of one that waits.
  void order(const control::Reclaim& order);
  // Something else that may wait for harts. False: too much waits already.
  bool post(std::function<void()> call);
  // Without a daemon: somebody waits for frames, which can only come from what the cell holds.
  void make_room();
  void sample_as(const control::Settings& settings);
  // The guest has begun to do something: looks as often as at a busy one.
  void look_soon();

  struct Figures {
    u64 periods = 0;
    memory::ActivitySampler::Count last;     // of the period that ended last
    memory::ActivitySampler::Count running;  // so far
    control::Curve curve;
    bool swap_failed = false;
  };
  Figures figures() const;
  static constexpr std::size_t kMostPosted = 256;

 private:
  // An order whose frames the guest was asked for: the rest is taken when its time is over, or when nothing
  // comes.
  struct Asked {
    control::Reclaim order;
    control::Done done;
    Pages missing;
    Nanos deadline;  // of the order
    Nanos until;     // for the guest
    Nanos moved;     // when something came last
    Nanos again;     // when it is to be asked again
    Nanos patience;  // how long nothing may come
  };

  void run();
  void walk(Nanos every);
  void begin(const control::Reclaim& order);
  void look_at_guest();
  Pages count_given();
  void help_guest();
  void ask_again(Nanos now);
  void take_rest();
  void take(const control::Reclaim& order, Nanos deadline, control::Done& done);
  memory::ReclaimReport reclaim(const memory::ReclaimOrder& order);
  memory::ReclaimReport reclaim_room();
  void sample(const control::Settings& settings);
  void trace(u32 samples);

  memory::GuestMemory& memory_;
  Guest guest_;
  std::optional<Asked> asked_;         // the thread's own
  memory::Reclaimer reclaimer_;        // likewise
  memory::ActivitySampler sampler_;    // likewise
  std::optional<CurveSampler> curve_;  // likewise
  Nanos walked_;                       // the reclaimer, over pages that may be idle
  Nanos looked_, aged_;                // at the curve's pages; when it was aged
  Lease& lease_;
  const std::function<void(const control::Done&)> done_;
  const std::function<Nanos()> run_time_;
  SamplePeriod period_;

  mutable Mutex mutex_{LockRank::kHousekeeper};
  Condition wake_;
  std::optional<control::Reclaim> order_ GUARDED_BY(mutex_);
  std::vector<std::function<void()>> posted_ GUARDED_BY(mutex_);
  bool make_room_ GUARDED_BY(mutex_) = false;
  bool end_ GUARDED_BY(mutex_) = false;
  bool calm_ GUARDED_BY(mutex_) = false;  // the guest hardly runs
  control::Settings settings_ GUARDED_BY(mutex_);
  Figures figures_ GUARDED_BY(mutex_);
  os::Thread thread_;
};

}  // namespace cloister::cell
