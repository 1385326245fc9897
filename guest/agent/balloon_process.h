// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>

#include "agent/loop.h"

namespace cloister::agent {

// The balloon as a process of its own, started anew when it ends: it is the first that the OOM killer takes,
// and the rest of the agent should not go with it. Its end gives all of its memory back, so the next one
// waits as long as a balloon that gave way.
class BalloonProcess {
 public:
  BalloonProcess(Loop& loop, std::uint64_t most_percent) : loop_(loop), most_percent_(most_percent) {}
  ~BalloonProcess();
  BalloonProcess(const BalloonProcess&) = delete;
  BalloonProcess& operator=(const BalloonProcess&) = delete;

  void start();

 private:
  void ended();

  Loop& loop_;
  std::uint64_t most_percent_;
  pid_t id_ = -1;
  int handle_ = -1;
  Loop::Timer timer_ = 0;
};

// Makes this process the OOM killer's first choice.
void offer_to_oom_killer();

}  // namespace cloister::agent
