// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cloister/guest_abi.h>

#include <map>
#include <string>

#include "agent/unix_door.h"

namespace cloister::agent {

// Serves MEMORY_PRESSURE_WATCH: a program connects, may write what MEMORY_PRESSURE_WRITE told it to, and is
// sent a line each time it should let go of memory. It is told when the level rises to soft or above, and
// again while memory is still wanted. A program that wrote `level hard` or `level critical` hears nothing
// below that; any other text, such as that for a file of the kernel's, changes nothing.
class PressureDoor {
 public:
  // `repeat`: milliseconds between two notices while memory is wanted. `spread`: from one program to the
  // next.
  PressureDoor(Loop& loop, std::uint64_t repeat, std::uint64_t spread);
  ~PressureDoor();
  PressureDoor(const PressureDoor&) = delete;
  PressureDoor& operator=(const PressureDoor&) = delete;

  std::string open(const std::string& path) { return door_.open(path); }
  // To be called with each new record, and every few seconds while memory is wanted.
  void tell(const cloister_condition& condition);

 private:
  struct Listener {
    std::uint32_t from = CLOISTER_SOFT;
    std::uint32_t level = CLOISTER_AMPLE;  // at which it was told last
    std::uint64_t told = 0;
    Loop::Timer timer = 0;  // a notice under way
  };

  void hear(UnixDoor::Client client, const std::string& line);
  bool is_due(const Listener& listener, const cloister_condition& condition, std::uint64_t now) const;
  void forget(UnixDoor::Client client);

  Loop& loop_;
  std::uint64_t repeat_;
  std::uint64_t spread_;
  UnixDoor door_;
  std::map<UnixDoor::Client, Listener> listeners_;
};

}  // namespace cloister::agent
