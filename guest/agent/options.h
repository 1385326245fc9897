// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace cloister::agent {

// Of a machine: more than that the host does not order of its balloons together, so nobody may ask for it.
inline constexpr std::uint64_t kMostPercent = 65;

// What the agent is to do, from its configuration file and its flags; a flag wins.
struct Options {
  bool balloon = true;
  bool bridge = true;
  bool exec = true;
  std::uint64_t most_percent = kMostPercent;
  std::uint64_t sessions = 64;
};

// Whether the program is to go on, or to end with a status: after --help, or on an error that was told.
struct Verdict {
  bool ends = false;
  int status = 0;
};

struct BridgeSettings;

// Reads the flags, and the configuration before them, so that flags win.
Verdict read_command_line(int argc, char** argv, Options& options, BridgeSettings& bridge);

// "balloon bridge exec", any of them, in any order; what is wrong with it otherwise.
bool read_parts(const std::string& text, Options& options, std::string& why);

}  // namespace cloister::agent
