// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

#include "base/lock.h"
#include "base/units.h"
#include "memory/frame_source.h"

namespace cloister::cell {

// The cell's allowance of frames, granted by the daemon: the guest's memory takes from it, and what is
// missing is asked for in batches, ahead of need. (essay in lease.cpp) Thread safe; take() alone blocks.
//
//   Invariant: held = used + spare, and used <= held <= what the daemon's books say.
class Lease final : public memory::FrameSource {
 public:
  // `news` is called, with no lock held, when there is something to tell the daemon: take_news() has it.
  explicit Lease(std::function<void()> news) : news_(std::move(news)) {}

  // memory::FrameSource
  Pages take(Pages most) override;
  Pages try_take(Pages most) override;
  void give_back(Pages frames) override;

  // -- For the control channel.
  struct News {
    Pages returned;    // since the last call: the daemon's again
    Pages wanted;      // beyond what is held
    bool ask = false;  // `wanted` is to be said
    bool waiting = false;
  };
  News take_news();
  void granted(Pages frames);
  // The daemon does not give what was asked for: nothing is awaited any more.
  void refused();
  // A new conversation begins: what was returned is in the figure, what was asked is forgotten.
  Pages held_for_greeting();

  // -- For the housekeeper.
  // So many frames are the daemon's, as soon as they are not used: at once from what is spare, then as they
  // come back. Replaces what was owed before. `loan` may stay meanwhile, a little at a time, for who waits.
  void owe(Pages frames, Pages loan = {});
  Pages owed() const;
  // So many must still come back.
  Pages missing() const;
  // Somebody waits for a frame now.
  bool waiting() const;

  struct Figures {
    Pages held, used;
  };
  Figures figures() const;

  // No more frames will come: whoever waits gets none.
  void close();

 private:
  static constexpr Pages kSmallestBatch{256};
  static constexpr Pages kLargestBatch{4096};
  static constexpr Pages kKept{1024};  // spare at most, as long as more is owed

  Pages take_spare(Pages most) REQUIRES(mutex_);
  void pay(Pages come) REQUIRES(mutex_);
  void add(Pages frames) REQUIRES(mutex_);
  bool begin_waiting();
  void wait();
  bool ask_ahead() REQUIRES(mutex_);

  const std::function<void()> news_;
  mutable Mutex mutex_{LockRank::kLease};
  Condition changed_;
  Pages used_ GUARDED_BY(mutex_);
  Pages spare_ GUARDED_BY(mutex_);
  Pages owed_ GUARDED_BY(mutex_);
  Pages credit_ GUARDED_BY(mutex_);    // may stay of what comes back
  Pages returned_ GUARDED_BY(mutex_);  // not told yet
  Pages wanted_ GUARDED_BY(mutex_);    // asked for and not granted yet
  bool ask_ GUARDED_BY(mutex_) = false;
  u32 waiting_ GUARDED_BY(mutex_) = 0;
  u64 refusals_ GUARDED_BY(mutex_) = 0;
  Pages batch_ GUARDED_BY(mutex_) = kSmallestBatch;
  Nanos granted_at_ GUARDED_BY(mutex_);
  bool closed_ GUARDED_BY(mutex_) = false;
};

}  // namespace cloister::cell
