// SPDX-License-Identifier: Apache-2.0
#include "agent/record_socket.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>

namespace cloister::agent {
namespace {

constexpr std::size_t kAtOnce = 65536;

}  // namespace

RecordSocket::~RecordSocket() { close(socket_); }

bool RecordSocket::fill() {
  const std::size_t before = in_.size();
  in_.resize(before + kAtOnce);
  const ssize_t got = recv(socket_, in_.data() + before, kAtOnce, MSG_DONTWAIT);
  const int why = errno;
  in_.resize(before + (got > 0 ? static_cast<std::size_t>(got) : 0));
  if (got == 0 || (got < 0 && why != EAGAIN && why != EINTR)) return false;
  cloister_record head = {};
  if (unread() >= sizeof head) std::memcpy(&head, in_.data() + taken_, sizeof head);
  return head.size <= CLOISTER_RECORD_MOST;
}

std::optional<RecordSocket::Record> RecordSocket::next() {
  cloister_record head = {};
  if (unread() < sizeof head) return std::nullopt;
  std::memcpy(&head, in_.data() + taken_, sizeof head);
  if (head.size > CLOISTER_RECORD_MOST || unread() < sizeof head + head.size) return std::nullopt;
  Record record{head.kind, in_.substr(taken_ + sizeof head, head.size)};
  taken_ += sizeof head + head.size;
  if (taken_ == in_.size() || taken_ > kAtOnce) {
    in_.erase(0, taken_);
    taken_ = 0;
  }
  return record;
}

void RecordSocket::say(std::uint32_t kind, std::string_view bytes) {
  const cloister_record head = {kind, static_cast<std::uint32_t>(bytes.size())};
  out_.append(reinterpret_cast<const char*>(&head), sizeof head);
  out_.append(bytes);
}

bool RecordSocket::flush() {
  while (waiting() != 0) {
    const ssize_t done = send(socket_, out_.data() + sent_, waiting(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) return errno == EAGAIN;
    sent_ += static_cast<std::size_t>(done);
  }
  out_.clear();
  sent_ = 0;
  return true;
}

}  // namespace cloister::agent
