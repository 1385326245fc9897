// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/os/fd.h"
#include "base/os/inode.h"
#include "base/result.h"
#include "base/units.h"

namespace cloister::os {

// One process of the host for all time: its number and when it began (clock ticks after the host's start, as
// /proc/PID/stat has it), since numbers are given again.
struct ProcessId {
  int number = 0;
  u64 started = 0;

  bool operator==(const ProcessId&) const = default;
};

// How a process ended. Of a process that is not a child nobody can say.
struct ProcessEnd {
  enum class How : u8 { kUnknown, kExit, kSignal } how = How::kUnknown;
  int number = 0;  // exit status or signal
};

// What a new process is to be.
struct Launch {
  std::string program;  // lies in the same folder as this program
  std::vector<std::string> arguments;
  std::string folder;                  // where it begins; empty: where this process is
  std::vector<const Fd*> descriptors;  // become the child's 3, 4, …; its 0 is empty, 1 and 2 are `log`
  const Fd* log = nullptr;
  std::optional<Owner> owner;  // another user and group, with none of their privileges; needs root
  u64 descriptor_limit = 0;    // 0: as this process
  u64 process_limit = 0;       // threads of the child's user; 0: as this process
};

// A process that can be waited for and signalled without mistaking another for it (pidfd). Move-only. The
// process lives on when this ends.
class Process {
 public:
  // In a session of its own, with no signal blocked, no descriptors but those told, no core dump.
  static Result<Process> start(const Launch& launch);
  // One that runs already; refused when it has ended.
  static Result<Process> find(ProcessId id);

  ProcessId id() const { return id_; }
  // Readable when the process has ended; for EventLoop::watch().
  const Fd& fd() const { return fd_; }
  // SIGKILL; nothing happens when it has ended.
  void kill() const;
  // How it ended, once fd() is readable; takes a child from the host's process table.
  ProcessEnd end() const;

 private:
  Process(Fd fd, ProcessId id) : fd_(std::move(fd)), id_(id) {}

  Fd fd_;
  ProcessId id_;
};

// The process of this number now; nothing when there is none.
std::optional<ProcessId> identify_process(int number);

// This process's number.
int own_process();

// What the host's kernel counts for a process (/proc/PID/status).
struct ProcessMemory {
  Bytes own;  // anonymous memory and page tables
  Bytes
      mapped;  // resident of files, memory files and shared mappings: a page counts as often as it is mapped
};
std::optional<ProcessMemory> memory_of_process(int number);
// The same `mapped`, of which a page counts once in all, a part for each mapping of it in any process
// (/proc/PID/smaps_rollup). Takes the kernel up to a tenth of a second a gigabyte. Nothing where it lets
// nobody see.
std::optional<Bytes> mapped_in_parts(int number);

}  // namespace cloister::os
