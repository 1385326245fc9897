// SPDX-License-Identifier: Apache-2.0
#include "base/os/supervisor.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <charconv>
#include <cstddef>
#include <cstdlib>
#include <cstring>

#include "base/os/fd.h"

namespace cloister::os {

void tell_supervisor(std::string_view state) {
  const char* path = std::getenv("NOTIFY_SOCKET");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path == nullptr || std::strlen(path) >= sizeof address.sun_path) return;
  const std::size_t length = std::strlen(path);
  std::memcpy(address.sun_path, path, length);
  if (path[0] == '@') address.sun_path[0] = '\0';  // a name without a file
  const Fd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return;
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + length);
  (void)::sendto(socket.get(), state.data(), state.size(), MSG_NOSIGNAL,
                 reinterpret_cast<const sockaddr*>(&address), size);
}

Nanos watchdog_interval() {
  const char* text = std::getenv("WATCHDOG_USEC");
  u64 micros = 0;
  if (text != nullptr) std::from_chars(text, text + std::strlen(text), micros);
  return Nanos{micros * 1000};
}

std::optional<Fd> passed_listener() {
  constexpr int kFirst = 3;
  const char* whose = std::getenv("LISTEN_PID");
  const char* count = std::getenv("LISTEN_FDS");
  if (whose == nullptr || count == nullptr || std::atoi(whose) != ::getpid() || std::atoi(count) < 1)
    return std::nullopt;
  ::unsetenv("LISTEN_PID");
  Fd fd(kFirst);
  ::fcntl(kFirst, F_SETFD, FD_CLOEXEC);
  return fd;
}

}  // namespace cloister::os
