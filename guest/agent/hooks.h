// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cloister/guest_abi.h>
#include <sys/types.h>

#include <string>
#include <vector>

#include "agent/config.h"
#include "agent/loop.h"

namespace cloister::agent {

// Programs that are run when the level changes, and again while memory is wanted, one after the other in
// time. In their environment: CLOISTER_LEVEL (a word), CLOISTER_RELEASE, CLOISTER_GAP, CLOISTER_TARGET and
// CLOISTER_HELD (bytes). One that still runs is not started again.
class Hooks {
 public:
  Hooks(Loop& loop, const BridgeSettings& settings);
  ~Hooks();
  Hooks(const Hooks&) = delete;
  Hooks& operator=(const Hooks&) = delete;

  void tell(const cloister_condition& condition);

 private:
  struct Hook {
    std::string name;
    std::vector<std::string> command;
    pid_t id = -1;
    int handle = -1;  // -1: it does not run
    Loop::Timer timer = 0;
  };

  void run(Hook& hook, const cloister_condition& condition);
  void ended(Hook& hook);

  Loop& loop_;
  std::uint64_t repeat_;
  std::uint64_t spread_;
  std::vector<Hook> hooks_;
  std::uint32_t level_ = CLOISTER_AMPLE;
  std::uint64_t told_ = 0;
};

}  // namespace cloister::agent
