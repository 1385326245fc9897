// SPDX-License-Identifier: Apache-2.0
#include "agent/dialogue.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <utility>

namespace cloister::agent {
namespace {

constexpr std::uint64_t kPatience = 5000;  // milliseconds
constexpr std::size_t kLongest = 1 << 20;  // bytes of an answer

struct Address {
  sockaddr_storage bytes = {};
  socklen_t length = 0;  // 0: not an address
};

Address address_of(const Place& place) {
  Address address;
  if (!place.path.empty()) {
    auto* at = reinterpret_cast<sockaddr_un*>(&address.bytes);
    at->sun_family = AF_UNIX;
    std::strncpy(at->sun_path, place.path.c_str(), sizeof at->sun_path - 1);
    address.length = sizeof *at;
    return address;
  }
  auto* four = reinterpret_cast<sockaddr_in*>(&address.bytes);
  if (inet_pton(AF_INET, place.host.c_str(), &four->sin_addr) == 1) {
    four->sin_family = AF_INET;
    four->sin_port = htons(place.port);
    address.length = sizeof *four;
    return address;
  }
  auto* six = reinterpret_cast<sockaddr_in6*>(&address.bytes);
  if (inet_pton(AF_INET6, place.host.c_str(), &six->sin6_addr) == 1) {
    six->sin6_family = AF_INET6;
    six->sin6_port = htons(place.port);
    address.length = sizeof *six;
  }
  return address;
}

}  // namespace

Dialogue::Dialogue(Loop& loop, std::string request, Whole whole, Done done)
    : loop_(loop), request_(std::move(request)), whole_(std::move(whole)), done_(std::move(done)) {}

Dialogue::~Dialogue() {
  loop_.cancel(timer_);
  if (socket_ < 0) return;
  loop_.forget(socket_);
  close(socket_);
}

void Dialogue::begin(const Place& place) {
  timer_ = loop_.after(kPatience, [this] { finish("no answer in 5 s"); });
  connect_to(place);
}

// What fails at once is told in the next turn, as all else is.
void Dialogue::connect_to(const Place& place) {
  const Address to = address_of(place);
  const auto fail = [this](const std::string& why) {
    loop_.cancel(timer_);
    timer_ = loop_.after(0, [this, why] { finish(why); });
  };
  if (to.length == 0) return fail(place.host + " is no numeric address");
  socket_ = socket(to.bytes.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (socket_ < 0) return fail(std::strerror(errno));
  if (connect(socket_, reinterpret_cast<const sockaddr*>(&to.bytes), to.length) != 0 && errno != EINPROGRESS)
    return fail(std::strerror(errno));
  loop_.watch(socket_, EPOLLIN | EPOLLOUT, [this](std::uint32_t events) { move(events); });
}

void Dialogue::move(std::uint32_t events) {
  if (!request_.empty() && (events & EPOLLOUT) != 0) {
    const ssize_t done = send(socket_, request_.data(), request_.size(), MSG_NOSIGNAL);
    if (done < 0 && errno != EAGAIN) return finish(std::strerror(errno));
    if (done > 0) request_.erase(0, static_cast<std::size_t>(done));
    if (request_.empty()) loop_.change(socket_, EPOLLIN);
  }
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0) return;
  char bytes[16384];
  const ssize_t got = recv(socket_, bytes, sizeof bytes, 0);
  if (got < 0 && errno != EAGAIN) return finish(std::strerror(errno));
  if (got > 0) answer_.append(bytes, static_cast<std::size_t>(got));
  if (got == 0) return finish(!whole_ || whole_(answer_) ? "" : "it closed the connection");
  if (answer_.size() > kLongest) return finish("its answer has no end");
  if (got > 0 && whole_ && whole_(answer_)) finish("");
}

void Dialogue::finish(const std::string& why) {
  const Done done = std::move(done_);
  const std::string answer = std::move(answer_);
  loop_.cancel(timer_);
  if (socket_ >= 0) loop_.forget(socket_);
  done(answer, why);
}

}  // namespace cloister::agent
