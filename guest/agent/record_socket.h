// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cloister/guest_abi.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace cloister::agent {

// A connected socket that carries records. Nothing blocks: what cannot be sent yet waits, and who says much
// watches how much waits.
class RecordSocket {
 public:
  struct Record {
    std::uint32_t kind;
    std::string bytes;
  };

  explicit RecordSocket(int socket) : socket_(socket) {}
  ~RecordSocket();
  RecordSocket(const RecordSocket&) = delete;
  RecordSocket& operator=(const RecordSocket&) = delete;

  int fd() const { return socket_; }
  // Reads what is there; false when the other side has ended or sends no records.
  bool fill();
  // The next whole record among what was read.
  std::optional<Record> next();
  void say(std::uint32_t kind, std::string_view bytes);
  // Sends what can be sent; false when nobody listens any more.
  bool flush();
  std::size_t waiting() const { return out_.size() - sent_; }
  // How much has come and was not yet taken.
  std::size_t unread() const { return in_.size() - taken_; }

 private:
  int socket_;
  std::string in_;
  std::size_t taken_ = 0;
  std::string out_;
  std::size_t sent_ = 0;
};

}  // namespace cloister::agent
