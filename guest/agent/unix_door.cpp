// SPDX-License-Identifier: Apache-2.0
#include "agent/unix_door.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <utility>
#include <vector>

namespace cloister::agent {
namespace {

constexpr std::size_t kMostClients = 1024;
constexpr std::size_t kLongestLine = 4096;

bool address_of(const std::string& path, sockaddr_un& at) {
  at = {};
  at.sun_family = AF_UNIX;
  if (path.size() >= sizeof at.sun_path) return false;
  std::memcpy(at.sun_path, path.c_str(), path.size());
  return true;
}

bool somebody_listens(const sockaddr_un& at) {
  const int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const bool answered = connect(probe, reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0;
  close(probe);
  return answered;
}

}  // namespace

UnixDoor::UnixDoor(Loop& loop, Came came, Said said, Went went)
    : loop_(loop), came_(std::move(came)), said_(std::move(said)), went_(std::move(went)) {}

UnixDoor::~UnixDoor() {
  for (const auto& [client, line] : clients_) {
    loop_.forget(client);
    close(client);
  }
  if (listener_ < 0) return;
  loop_.forget(listener_);
  close(listener_);
  unlink(path_.c_str());
}

std::string UnixDoor::open(const std::string& path) {
  sockaddr_un at;
  if (!address_of(path, at)) return path + ": the path is too long for a socket";
  if (somebody_listens(at)) return path + ": another agent serves it already";
  unlink(path.c_str());
  listener_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (listener_ < 0 || bind(listener_, reinterpret_cast<const sockaddr*>(&at), sizeof at) != 0 ||
      listen(listener_, 64) != 0) {
    const std::string why = path + ": " + std::strerror(errno);
    if (listener_ >= 0) close(listener_);
    listener_ = -1;
    return why;
  }
  path_ = path;
  chmod(path.c_str(), 0666);  // what a machine is told of its memory is no secret within it
  loop_.watch(listener_, EPOLLIN, [this](std::uint32_t) { accept_all(); });
  return "";
}

void UnixDoor::accept_all() {
  for (;;) {
    const int client = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (client < 0) return;
    if (clients_.size() >= kMostClients) {
      close(client);
      continue;
    }
    clients_[client];
    loop_.watch(client, EPOLLIN, [this, client](std::uint32_t) { hear(client); });
    if (came_) came_(client);
  }
}

void UnixDoor::hear(Client client) {
  char bytes[kLongestLine];
  const ssize_t got = recv(client, bytes, sizeof bytes, 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) return let_go(client);
  clients_[client].append(bytes, static_cast<std::size_t>(got));
  for (;;) {
    const auto found = clients_.find(client);
    if (found == clients_.end()) return;
    std::string& begun = found->second;
    const std::size_t end = begun.find('\n');
    if (end == std::string::npos) {
      if (begun.size() > kLongestLine) begun.clear();
      return;
    }
    const std::string line = begun.substr(0, end);
    begun.erase(0, end + 1);
    if (said_) said_(client, line);
  }
}

bool UnixDoor::tell(Client client, const std::string& text) {
  if (!clients_.contains(client)) return false;
  if (send(client, text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size())) return true;
  let_go(client);
  return false;
}

void UnixDoor::tell_all(const std::string& text) {
  std::vector<Client> all;
  for (const auto& [client, line] : clients_) all.push_back(client);
  for (const Client client : all) tell(client, text);
}

void UnixDoor::let_go(Client client) {
  loop_.forget(client);
  close(client);
  clients_.erase(client);
  if (went_) went_(client);
}

}  // namespace cloister::agent
