// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cloister/guest.hpp>
#include <string>

#include "agent/config.h"
#include "agent/hooks.h"
#include "agent/pressure_door.h"
#include "agent/releases.h"
#include "agent/unix_door.h"

namespace cloister::agent {

// Brings the memory condition to programs that know nothing of Cloister: over two sockets, by their knobs, by
// hooks. The sockets are there also where there is no Cloister; nothing comes from them then.
class Bridge {
 public:
  Bridge(Loop& loop, const BridgeSettings& settings, const std::string& folder);
  ~Bridge();
  Bridge(const Bridge&) = delete;
  Bridge& operator=(const Bridge&) = delete;

  // What is wrong, or nothing.
  std::string start();

  // A new record, wherever it comes from.
  void take(const cloister_condition& condition);

 private:
  void listen();
  void poll_later();
  void look();

  Loop& loop_;
  std::string folder_;
  PressureDoor pressure_;
  UnixDoor lines_;
  Hooks hooks_;
  Releases releases_;
  guest::Waiter waiter_;
  cloister_condition last_ = {};
  bool known_ = false;
  bool complained_ = false;
  Loop::Timer timer_ = 0;
};

// Where the sockets are made: `wanted` when it is not empty; else RUNTIME_DIRECTORY, as a service manager
// sets it; else /run/cloister for root, XDG_RUNTIME_DIR/cloister for others. Empty when there is none of
// these.
std::string socket_folder(const std::string& wanted);

}  // namespace cloister::agent
