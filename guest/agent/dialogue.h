// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "agent/config.h"
#include "agent/loop.h"

namespace cloister::agent {

// One request to a program over a socket, and its answer. Nothing blocks; it is over when the answer is
// whole, the other side closes, something fails, or five seconds are over.
class Dialogue {
 public:
  // Whether the bytes so far are a whole answer. None: the answer ends with the connection.
  using Whole = std::function<bool(const std::string& answer)>;
  // `why` is empty when the answer is whole. Called once, never from within begin(); may destroy the
  // dialogue.
  using Done = std::function<void(const std::string& answer, const std::string& why)>;

  Dialogue(Loop& loop, std::string request, Whole whole, Done done);
  ~Dialogue();
  Dialogue(const Dialogue&) = delete;
  Dialogue& operator=(const Dialogue&) = delete;

  void begin(const Place& place);

 private:
  void connect_to(const Place& place);
  void move(std::uint32_t events);
  void finish(const std::string& why);

  Loop& loop_;
  std::string request_;
  Whole whole_;
  Done done_;
  int socket_ = -1;
  Loop::Timer timer_ = 0;
  std::string answer_;
};

}  // namespace cloister::agent
