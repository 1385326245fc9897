// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "agent/loop.h"

namespace cloister::agent {

// A unix socket in the file system to which programs connect to be told things. What they say themselves is
// heard line by line; one that does not listen is let go.
class UnixDoor {
 public:
  using Client = int;  // a descriptor; another one's later
  using Came = std::function<void(Client client)>;
  using Said = std::function<void(Client client, const std::string& line)>;
  using Went = std::function<void(Client client)>;

  // Any of the three may be empty.
  UnixDoor(Loop& loop, Came came, Said said, Went went);
  ~UnixDoor();
  UnixDoor(const UnixDoor&) = delete;
  UnixDoor& operator=(const UnixDoor&) = delete;

  // Listens there; a socket left over from a dead agent is replaced. What is wrong, or nothing.
  std::string open(const std::string& path);

  // The whole text, or the client is let go: it is not read any more. False then. A client that has gone
  // hears nothing.
  bool tell(Client client, const std::string& text);
  void tell_all(const std::string& text);

 private:
  void accept_all();
  void hear(Client client);
  void let_go(Client client);

  Loop& loop_;
  Came came_;
  Said said_;
  Went went_;
  std::string path_;
  int listener_ = -1;
  std::map<Client, std::string> clients_;  // with the beginning of a line
};

}  // namespace cloister::agent
