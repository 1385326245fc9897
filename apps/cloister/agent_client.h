// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

// What the agent inside a guest does for a person outside (base/guest_abi.h, docs/guest-abi.md).
namespace cloister::client {

// What these return when it was not the guest's program that failed.
inline constexpr int kAgentFailed = 125;

struct ExecOrder {
  std::vector<std::string> command;
  std::vector<std::string> settings;  // NAME=VALUE
  std::string folder;                 // empty: the agent's own
  bool terminal = false;              // the command gets one, and this one's keys go there as they are typed
};

// Runs a command in the guest whose vsock listener is `vsock`, with this process's standard streams; HUP,
// INT, QUIT, TERM, USR1 and USR2 are handed on. Returns its exit status; 128 and the signal that ended it;
// 127 when there is no such program, 126 when it cannot be executed; or kAgentFailed, with the reason on
// standard error.
int exec_in_guest(const std::string& vsock, const ExecOrder& order);

// Copies one file in, or out; "-" is standard input or output. 0, or kAgentFailed with the reason.
int copy_to_guest(const std::string& vsock, const std::string& from, const std::string& to);
int copy_from_guest(const std::string& vsock, const std::string& from, const std::string& to);

}  // namespace cloister::client
