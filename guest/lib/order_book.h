// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "lib/stream.h"

namespace cloister::guest {

// Orders and the answers to them, over a stream. What is reported is what was said last: reports that come
// faster than 20 a second replace each other, and one that was made while nobody listened is made again on
// the next connection.
class OrderBook {
 public:
  int open(const Destination& to, const char* name, std::uint64_t most);
  int fd() const { return stream_.fd(); }
  bool is_connected() const { return stream_.is_connected(); }
  bool next(cloister_balloon_order* out);
  void report(std::uint64_t held, std::uint32_t reason);

 private:
  void send_when_due();

  Stream stream_;
  cloister_balloon_state state_ = {};
  std::uint64_t serial_ = 0;  // of the last order
  bool unsent_ = false;
  std::uint64_t sent_ = 0;        // when; milliseconds
  std::uint64_t connection_ = 0;  // on which the last order came
};

// The guest's own figures of a report: pressure, MemAvailable, swap.
void add_figures(cloister_balloon_state* state);

}  // namespace cloister::guest
