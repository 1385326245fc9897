// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>

#include "base/os/event_loop.h"
#include "cell/record_stream.h"

namespace cloister::cell {

// CLOISTER_PORT_CONDITION: each program of the guest that connects is told the machine's condition, at once
// and whenever tell() says it anew. Who reads slowly gets the newest when it comes to it, and nobody gets a
// record twice. They have nothing to say: who sends anything is parted from. On the loop's thread.
class ConditionPort {
 public:
  static constexpr std::size_t kMostClients = 64;

  explicit ConditionPort(os::EventLoop& loop) : loop_(loop) {}
  ~ConditionPort();
  ConditionPort(const ConditionPort&) = delete;
  ConditionPort& operator=(const ConditionPort&) = delete;

  // Bound: beyond kMostClients nobody is served.
  void accept(os::UnixStream stream);
  void tell(const cloister_condition& record);
  // The same, for those alone who come later: nothing in it is news.
  void renew(const cloister_condition& record) { newest_ = record; }
  std::size_t clients() const { return clients_.size(); }

 private:
  struct Client {
    RecordStream stream;
    bool due = true;  // it has not got the newest
  };

  void on_ready(int id, os::Ready ready);
  void push(int id);
  void drop(int id);
  cloister_condition share() const;

  os::EventLoop& loop_;
  cloister_condition newest_{};
  std::map<int, Client> clients_;  // by descriptor
};

}  // namespace cloister::cell
