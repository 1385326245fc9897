// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cloister/guest.h>
#include <sys/socket.h>

#include <cstddef>
#include <cstdint>

namespace cloister::guest {

// Where a stream leads to.
struct Destination {
  sockaddr_storage address;
  socklen_t length;
};

Destination vsock_destination(std::uint32_t cid, std::uint32_t port);

// Records to and from the host over a socket that connects again by itself, with pauses that grow from 0.1 to
// 5 s. Nothing blocks. The descriptor is an epoll's, with the socket and a clock in it: it stays the same,
// and is readable while there is something to do. A stream belongs to one thread at a time.
class Stream {
 public:
  // The greeting is sent first on every connection; it may be empty.
  struct Greeting {
    std::uint32_t kind = 0;
    std::uint32_t size = 0;
    unsigned char bytes[64] = {};
  };

  Stream() = default;
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  ~Stream();

  // CLOISTER_OK or CLOISTER_SYSTEM; an end that does not answer yet is no error.
  int open(const Destination& to, const Greeting& greeting);
  int fd() const { return poll_; }
  bool is_connected() const { return state_ == State::kConnected; }
  // Counts connections that came about: who says things of which the last counts, says it again after a new
  // one.
  std::uint64_t connections() const { return connections_; }

  // Moves what can be moved. Then the next whole record of this kind and size, if there is one. Any other
  // record ends the connection.
  bool next(std::uint32_t kind, void* out, std::size_t size);

  // Puts a record behind those that wait; false when there is no connection, or too much waits.
  bool say(std::uint32_t kind, const void* bytes, std::size_t size);

  // Makes the descriptor readable after so many milliseconds, in addition to all else; once.
  void remind(std::uint64_t milliseconds);

 private:
  enum class State { kApart, kConnecting, kConnected };

  void advance();
  void begin();
  void finish_connecting();
  void become_connected();
  void part();
  void flush();
  void fill();
  void set_clock();
  void attend();

  Destination to_ = {};
  Greeting greeting_;
  int poll_ = -1;
  int clock_ = -1;
  int socket_ = -1;
  State state_ = State::kApart;
  std::uint64_t connections_ = 0;
  std::uint64_t pause_ = 0;   // milliseconds
  std::uint64_t retry_ = 0;   // time at which to connect; milliseconds
  std::uint64_t remind_ = 0;  // 0: no
  bool wants_to_write_ = false;
  std::size_t out_ = 0;
  std::size_t in_ = 0;
  unsigned char outgoing_[1024];
  unsigned char incoming_[1024];
};

// Milliseconds of the monotonic clock, never 0.
std::uint64_t now_in_milliseconds();

}  // namespace cloister::guest
