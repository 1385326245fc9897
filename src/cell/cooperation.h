// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <functional>

#include "base/os/event_loop.h"
#include "cell/balloon_port.h"
#include "cell/calm_watch.h"
#include "cell/condition.h"
#include "cell/condition_port.h"
#include "machine/machine.h"
#include "memory/swap_file.h"
#include "policy/memory/balloon.h"

namespace cloister::cell {

// What the cell tells its guest's programs of memory, and asks them for: the condition, made anew each second
// and when something changes, and the balloon, which virtio's device stands in for where no application of
// the guest offers one. On the loop's thread, but where it says otherwise. (essay in cooperation.cpp)
class Cooperation {
 public:
  // The loop and the machine outlive it. Before both run.
  Cooperation(os::EventLoop& loop, machine::Machine& machine, const machine::MachineConfig& config);
  ~Cooperation();
  Cooperation(const Cooperation&) = delete;
  Cooperation& operator=(const Cooperation&) = delete;

  void set_swap(const memory::SwapFile& swap) { swap_ = &swap; }
  // Called once a second, on the loop's thread: whoever does something as often need not wake for it again.
  // `seldom`: the guest hardly runs and nobody there looks at the condition; the next is kSeldomBeat away.
  // Not where `may_rest` says no.
  void set_at_beat(std::function<void(bool seldom)> call, std::function<bool()> may_rest) {
    at_beat_ = std::move(call);
    may_rest_ = std::move(may_rest);
  }
  // Something goes on: a beat now, if they are seldom, and another in a second.
  void quicken();
  static constexpr std::chrono::seconds kBeat{1}, kSeldomBeat{12};
  void stand(const control::Standing& standing);
  void set_standing_still(bool still);

  // -- Any thread.
  // Whether somebody in the guest may give up memory when asked.
  bool able() const { return able_; }
  // The guest is to give up so many pages more, by then (os::monotonic_now()).
  void ask(Pages more, Nanos deadline);
  // Nothing more will come of what was asked for last: the guest's applications have said so.
  bool spent() const { return spent_ == asked_; }

  // For the report to the daemon.
  void fill_in(control::Report& report) const;

 private:
  void serve(u32 port, std::function<void(os::UnixStream)> accept);
  void beat();
  void look();
  void set_deadline(u64 ticks);
  void ask_device();
  void fill_in_device(control::Report& report) const;
  void ask_for_what_is_short();
  void ask_now(Pages more, u64 deadline, u64 number);
  bool is_spent() const;
  void set_balloon();
  Pages told() const;
  Pages bound() const;
  policy::memory::BalloonSigns signs() const;

  os::EventLoop& loop_;
  machine::Machine& machine_;
  const Pages configured_;
  const memory::SwapFile* swap_ = nullptr;
  std::function<void(bool)> at_beat_;
  std::function<bool()> may_rest_;
  CalmWatch calm_;
  bool seldom_ = false;
  MemoryCondition condition_;
  ConditionPort condition_port_;
  BalloonPort balloon_port_;
  policy::memory::BalloonLoop balloon_;
  policy::memory::Rate device_page_ins_;  // by the statistics of virtio's balloon
  std::optional<control::Standing> standing_;
  bool still_ = false;
  Pages wanted_;   // by the host, of the balloon
  Pages ordered_;  // what it was told to be
  u64 deadline_ = 0;
  std::atomic<bool> able_{false};
  std::atomic<u64> asked_{0};  // how often
  u64 heard_ = 0;              // of these: the last that was passed on
  std::atomic<u64> spent_{0};  // the number of the one of which nothing more will come
  os::EventLoop::TimerId timer_ = 0;
};

}  // namespace cloister::cell
