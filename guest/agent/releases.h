// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cloister/guest_abi.h>

#include <memory>
#include <string>
#include <vector>

#include "agent/program.h"
#include "agent/release_policy.h"
#include "agent/signs.h"

namespace cloister::agent {

// Turns the knobs of programs as the policy says. What a program was given by whoever runs it (its ceiling)
// is noted in a file, so that an agent that is started anew does not take its own cut for it.
class Releases {
 public:
  // `notes`: the file's path.
  Releases(Loop& loop, const BridgeSettings& settings, std::string notes);
  ~Releases();
  Releases(const Releases&) = delete;
  Releases& operator=(const Releases&) = delete;

  // One round: asks all programs, decides, turns. Does nothing while one is under way.
  void begin(const cloister_condition& condition, std::uint64_t ticks);

  // Whether rounds are wanted: a limit is below its ceiling.
  bool any_below() const { return any_below_; }
  bool empty() const { return members_.empty(); }

 private:
  struct Member {
    ProgramSettings settings;
    std::unique_ptr<Program> program;
    ProgramState state;
    std::uint64_t set_to = 0;  // by us, last; 0: not
    std::uint64_t tried = 0;   // likewise, or in vain: it may be so though no answer came
    std::uint64_t given = 0;   // the ceiling in the program's own terms; 0: no limit
    bool noted = false;        // the ceiling is known
    bool answered = false;     // in this round, with figures
    std::string complaint;     // the last; said once
  };

  void take(std::size_t index, const std::optional<Program::Figures>& figures, const std::string& why);
  void note_ceiling(Member& member, const Program::Figures& figures);
  void decide();
  void turn(std::size_t index, std::uint64_t limit);
  void turned();
  void complain(Member& member, const std::string& why);
  void read_notes();
  void write_notes() const;

  Loop& loop_;
  ReleasePolicy policy_;
  bool balloon_;
  std::string notes_;
  SignReader reader_;
  std::vector<Member> members_;
  std::vector<Loop::Timer> timers_;
  Need need_;
  std::size_t awaited_ = 0;  // answers of this round
  bool any_below_ = false;
};

}  // namespace cloister::agent
