// SPDX-License-Identifier: Apache-2.0
#include "agent/door.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
// After sys/socket.h, which it needs.
#include <cloister/guest_abi.h>
#include <linux/vm_sockets.h>

#include <cstring>
#include <string>

#include "agent/log.h"

namespace cloister::agent {
namespace {

constexpr std::uint64_t kTryAgain = 10'000;  // milliseconds

}  // namespace

Door::~Door() {
  loop_.cancel(timer_);
  if (listener_ < 0) return;
  loop_.forget(listener_);
  close(listener_);
}

bool Door::listen_now() {
  listener_ = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (listener_ < 0) return false;
  sockaddr_vm here = {};
  here.svm_family = AF_VSOCK;
  here.svm_cid = VMADDR_CID_ANY;
  here.svm_port = CLOISTER_PORT_AGENT;
  return bind(listener_, reinterpret_cast<const sockaddr*>(&here), sizeof here) == 0 &&
         listen(listener_, 64) == 0 &&
         loop_.watch(listener_, EPOLLIN, [this](std::uint32_t) { accept_all(); });
}

void Door::open() {
  if (listen_now()) return;
  if (!complained_)
    say(Weight::kNotice, "the host cannot run programs here: vsock port %d: %s",
        static_cast<int>(CLOISTER_PORT_AGENT), std::strerror(errno));
  complained_ = true;
  if (listener_ >= 0) close(listener_);
  listener_ = -1;
  timer_ = loop_.after(kTryAgain, [this] { open(); });
}

void Door::accept_all() {
  for (;;) {
    sockaddr_vm who = {};
    socklen_t length = sizeof who;
    const int socket =
        accept4(listener_, reinterpret_cast<sockaddr*>(&who), &length, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (socket < 0) return;
    if (who.svm_cid == VMADDR_CID_HOST) {
      admit(socket);
    } else {
      say(Weight::kWarning, "turned away a connection from CID %u: only the host may command", who.svm_cid);
      close(socket);
    }
  }
}

void Door::admit(int socket) {
  const std::uint64_t number = ++last_;
  const bool full = sessions_.size() >= most_;
  // A session ends in the middle of one of its own calls: it is destroyed after that.
  auto session = std::make_unique<Session>(loop_, socket, [this, number] { sessions_.erase(number); });
  if (full) session->refuse("too many requests at once: " + std::to_string(most_) + " are served");
  sessions_[number] = std::move(session);
}

}  // namespace cloister::agent
