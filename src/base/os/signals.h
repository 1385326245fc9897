// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <initializer_list>
#include <optional>
#include <utility>

#include "base/os/fd.h"
#include "base/result.h"

namespace cloister::os {

// A write to a closed pipe or socket becomes an error code (EPIPE) instead of the end of the program.
void ignore_broken_pipes();

// SIGINT, SIGTERM and SIGHUP as something to read: blocked in the thread that calls create() and in all
// threads that it starts later, so call it first of all in main().
class ShutdownSignals {
 public:
  static Result<ShutdownSignals> create();
  // And SIGQUIT, SIGUSR1 and SIGUSR2: for who hands all that it gets on to another program.
  static Result<ShutdownSignals> create_with_others();

  int fd() const { return fd_.get(); }  // readable when a signal came; for EventLoop::watch()
  std::optional<int> take();            // the next signal's number, or nothing; never blocks

 private:
  static Result<ShutdownSignals> create_of(std::initializer_list<int> numbers);
  explicit ShutdownSignals(Fd fd) : fd_(std::move(fd)) {}
  Fd fd_;
};

}  // namespace cloister::os
