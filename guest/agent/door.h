// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>

#include "agent/loop.h"
#include "agent/session.h"

namespace cloister::agent {

// The port on which the host reaches the agent. Programs of the guest itself can connect to it as well, and
// are turned away: the agent may have rights that they have not.
class Door {
 public:
  Door(Loop& loop, std::size_t most_sessions) : loop_(loop), most_(most_sessions) {}
  ~Door();
  Door(const Door&) = delete;
  Door& operator=(const Door&) = delete;

  // Listens on CLOISTER_PORT_AGENT; when there is no vsock device yet, tries again every 10 s and says so
  // once.
  void open();
  // Serves a connected socket of the host's.
  void admit(int socket);

  std::size_t sessions() const { return sessions_.size(); }

 private:
  bool listen_now();
  void accept_all();

  Loop& loop_;
  std::size_t most_;
  int listener_ = -1;
  bool complained_ = false;
  Loop::Timer timer_ = 0;
  std::uint64_t last_ = 0;
  std::map<std::uint64_t, std::unique_ptr<Session>> sessions_;
};

}  // namespace cloister::agent
