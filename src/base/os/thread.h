// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <thread>

#include "base/result.h"
#include "base/units.h"

namespace cloister::os {

// A named thread that is joined at the end of its owner's life. Move-only.
class Thread {
 public:
  // The host's tools show the first 15 bytes of `name`. Refused: when the host has no thread left.
  static Result<Thread> start(const std::string& name, std::function<void()> body);

  Thread() = default;
  Thread(Thread&&) noexcept = default;
  Thread& operator=(Thread&& other) noexcept;
  ~Thread() { join(); }

  bool running() const { return thread_.joinable(); }  // started and not yet joined
  void join();                                         // nothing when not running()

 private:
  std::thread thread_;
};

// The host's CPU that runs the calling thread; it may be another one the moment after.
u32 current_cpu();

// The calling thread's own name.
void set_thread_name(const std::string& name);

}  // namespace cloister::os
