// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <string>

#include "agent/request.h"

namespace cloister::agent {

// A program that was started with its standard streams in the agent's hands. With a terminal, `in` and `out`
// are that terminal and `error` is -1. The descriptors do not block; who has this closes them.
struct Process {
  pid_t id = -1;
  int handle = -1;  // readable when it has ended
  int in = -1;
  int out = -1;
  int error = -1;
};

// Why there is no program, with its name or its folder's.
struct Refusal {
  std::string why;
  int status = 0;  // 127: there is no such program; 126: it cannot be executed; 0: something else
};

// Starts it as the leader of a session of its own, with no signal blocked or ignored. False, and why, when
// that fails.
bool start_process(const ExecRequest& request, Process& process, Refusal& refusal);

// How it ended; to be called when `handle` is readable.
struct End {
  int signal = 0;  // 0: none
  int status = 0;
};
End end_of(const Process& process);

// The terminal's size; senseless values are cut down.
void set_window(int terminal, std::uint32_t rows, std::uint32_t columns);

}  // namespace cloister::agent
