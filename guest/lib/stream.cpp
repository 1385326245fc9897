// SPDX-License-Identifier: Apache-2.0
#include "lib/stream.h"

#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>
// After sys/socket.h, which it needs.
#include <linux/vm_sockets.h>

#include <cstring>

namespace cloister::guest {
namespace {

constexpr std::uint64_t kShortestPause = 100;
constexpr std::uint64_t kLongestPause = 5000;

}  // namespace

std::uint64_t now_in_milliseconds() {
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1000 + static_cast<std::uint64_t>(now.tv_nsec) / 1'000'000 +
         1;
}

Destination vsock_destination(std::uint32_t cid, std::uint32_t port) {
  Destination to = {};
  sockaddr_vm at = {};
  at.svm_family = AF_VSOCK;
  at.svm_cid = cid;
  at.svm_port = port;
  std::memcpy(&to.address, &at, sizeof at);
  to.length = sizeof at;
  return to;
}

Stream::~Stream() {
  if (socket_ >= 0) close(socket_);
  if (clock_ >= 0) close(clock_);
  if (poll_ >= 0) close(poll_);
}

int Stream::open(const Destination& to, const Greeting& greeting) {
  to_ = to;
  greeting_ = greeting;
  poll_ = epoll_create1(EPOLL_CLOEXEC);
  clock_ = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  if (poll_ < 0 || clock_ < 0) return CLOISTER_SYSTEM;
  epoll_event event = {};
  event.events = EPOLLIN;
  if (epoll_ctl(poll_, EPOLL_CTL_ADD, clock_, &event) != 0) return CLOISTER_SYSTEM;
  advance();
  return CLOISTER_OK;
}

void Stream::remind(std::uint64_t milliseconds) {
  remind_ = now_in_milliseconds() + milliseconds;
  set_clock();
}

// The clock rings at the earlier of the two times; it is silent when there is none.
void Stream::set_clock() {
  std::uint64_t at = state_ == State::kApart ? retry_ : 0;
  if (remind_ != 0 && (at == 0 || remind_ < at)) at = remind_;
  itimerspec when = {};
  when.it_value.tv_sec = static_cast<time_t>(at / 1000);
  when.it_value.tv_nsec = static_cast<long>(at % 1000 * 1'000'000);
  timerfd_settime(clock_, TFD_TIMER_ABSTIME, &when, nullptr);
}

void Stream::advance() {
  const std::uint64_t now = now_in_milliseconds();
  std::uint64_t rings = 0;
  if (read(clock_, &rings, sizeof rings) > 0 || now >= remind_) {
    if (now >= remind_) remind_ = 0;
    set_clock();
  }
  if (state_ == State::kApart && now >= retry_) begin();
  if (state_ == State::kConnecting) finish_connecting();
  if (state_ == State::kConnected) flush();
}

void Stream::begin() {
  socket_ = socket(to_.address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (socket_ < 0) return part();
  epoll_event event = {};
  event.events = EPOLLIN | EPOLLOUT;
  wants_to_write_ = true;
  if (epoll_ctl(poll_, EPOLL_CTL_ADD, socket_, &event) != 0) return part();
  if (connect(socket_, reinterpret_cast<const sockaddr*>(&to_.address), to_.length) == 0)
    return become_connected();
  if (errno != EINPROGRESS) return part();
  state_ = State::kConnecting;
  set_clock();
}

void Stream::finish_connecting() {
  pollfd one = {socket_, POLLOUT, 0};
  if (poll(&one, 1, 0) <= 0) return;
  int error = 0;
  socklen_t length = sizeof error;
  if (getsockopt(socket_, SOL_SOCKET, SO_ERROR, &error, &length) != 0 || error != 0) return part();
  become_connected();
}

void Stream::become_connected() {
  state_ = State::kConnected;
  ++connections_;
  pause_ = 0;
  in_ = out_ = 0;
  set_clock();
  if (greeting_.kind != 0) say(greeting_.kind, greeting_.bytes, greeting_.size);
  attend();
}

void Stream::part() {
  if (socket_ >= 0) close(socket_);
  socket_ = -1;
  state_ = State::kApart;
  pause_ = pause_ == 0 ? kShortestPause : 2 * pause_;
  if (pause_ > kLongestPause) pause_ = kLongestPause;
  retry_ = now_in_milliseconds() + pause_;
  set_clock();
}

// The socket is waited on for writing only while something is to be written.
void Stream::attend() {
  const bool wanted = out_ != 0;
  if (wanted == wants_to_write_) return;
  epoll_event event = {};
  event.events = wanted ? EPOLLIN | EPOLLOUT : EPOLLIN;
  epoll_ctl(poll_, EPOLL_CTL_MOD, socket_, &event);
  wants_to_write_ = wanted;
}

void Stream::flush() {
  while (out_ != 0) {
    const ssize_t sent = send(socket_, outgoing_, out_, MSG_NOSIGNAL);
    if (sent < 0 && (errno == EAGAIN || errno == EINTR)) break;
    if (sent <= 0) return part();
    out_ -= static_cast<std::size_t>(sent);
    std::memmove(outgoing_, outgoing_ + sent, out_);
  }
  attend();
}

void Stream::fill() {
  if (in_ == sizeof incoming_) return;
  const ssize_t got = recv(socket_, incoming_ + in_, sizeof incoming_ - in_, 0);
  if (got > 0) {
    in_ += static_cast<std::size_t>(got);
  } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
    part();
  }
}

// Only here is anything read: what lies read in `incoming_` makes the descriptor readable no more, so whoever
// waits on it must have been given it.
bool Stream::next(std::uint32_t kind, void* out, std::size_t size) {
  advance();
  if (state_ == State::kConnected) fill();
  cloister_record head = {};
  if (state_ != State::kConnected || in_ < sizeof head) return false;
  std::memcpy(&head, incoming_, sizeof head);
  if (head.kind != kind || head.size != size) {
    part();
    return false;
  }
  if (in_ < sizeof head + size) return false;
  std::memcpy(out, incoming_ + sizeof head, size);
  in_ -= sizeof head + size;
  std::memmove(incoming_, incoming_ + sizeof head + size, in_);
  return true;
}

bool Stream::say(std::uint32_t kind, const void* bytes, std::size_t size) {
  const cloister_record head = {kind, static_cast<std::uint32_t>(size)};
  if (state_ != State::kConnected || sizeof outgoing_ - out_ < sizeof head + size) return false;
  std::memcpy(outgoing_ + out_, &head, sizeof head);
  std::memcpy(outgoing_ + out_ + sizeof head, bytes, size);
  out_ += sizeof head + size;
  flush();
  return state_ == State::kConnected;
}

}  // namespace cloister::guest
