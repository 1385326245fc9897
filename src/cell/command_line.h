// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "machine/config.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace cloister::cell {

// What `cloister run` and `cloister-cell` are given.
struct RunRequest {
  machine::MachineConfig machine;
  bool batch = false;  // console to standard output, no terminal, no escape
  std::string stats;   // a file for the figures of the run as JSON; empty: none

  // Of a cell that a daemon starts (managed_cell.h).
  std::string control;  // the daemon's socket; empty: there is no daemon
  Bytes swap;           // the most that its swap file may take
  bool sandbox = true;  // it shuts itself in
};

// The flags of a RunRequest on a command: those of cell/options.h in their order, a TOML file, --batch,
// --stats. After CLI11 has parsed, request() reads them: the file first, then the flags over it.
class RunFlags {
 public:
  explicit RunFlags(CLI::App& command);
  Result<RunRequest> request() const;

 private:
  std::string config_file_;
  bool batch_ = false;
  std::string stats_;
  std::string control_;
  u64 swap_ = 0;
  std::string sandbox_ = "on";
  std::vector<std::pair<CLI::Option*, std::vector<std::string>>> values_;  // parallel to options()
};

}  // namespace cloister::cell
