// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cloister/guest.hpp>

#include "agent/balloon_policy.h"
#include "agent/loop.h"
#include "agent/signs.h"

namespace cloister::agent {

// The balloon application: follows the host's orders with memory of this process, as far as its policy lets
// it.
class BalloonApp {
 public:
  struct Settings {
    std::uint64_t most_percent = 65;  // of the machine's configured memory
    Band band;
  };

  BalloonApp(Loop& loop, const Settings& settings)
      : loop_(loop), settings_(settings), policy_(settings.band) {}
  ~BalloonApp();
  BalloonApp(const BalloonApp&) = delete;
  BalloonApp& operator=(const BalloonApp&) = delete;

  // Opens the balloon; when the host has none to offer now, asks again every 10 s and says so once.
  void start();

  std::uint64_t held() const { return balloon_ ? balloon_.size() : 0; }

 private:
  int open();
  void follow_orders();
  void glance();
  void look();
  bool is_met() const;
  void glance_in(std::uint64_t milliseconds);
  std::uint32_t carry_out(const Step& step);
  void report(std::uint32_t reason, std::uint64_t time);
  void watch_pressure();

  Loop& loop_;
  Settings settings_;
  BalloonPolicy policy_;
  SignReader reader_;
  guest::Balloon balloon_;
  guest::Orders orders_;
  cloister_balloon_order order_ = {};
  std::uint64_t most_ = 0;
  bool complained_ = false;
  int trigger_ = -1;
  Loop::Timer timer_ = 0;
  std::uint32_t refusal_ = 0;        // why the last growth ended early; 0: it did not
  std::uint64_t refused_until_ = 0;  // no growth before
  // What was reported last.
  std::uint64_t told_held_ = UINT64_MAX;
  std::uint64_t told_serial_ = 0;
  std::uint32_t told_reason_ = 0;
  std::uint64_t told_at_ = 0;
};

}  // namespace cloister::agent
