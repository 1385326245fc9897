// SPDX-License-Identifier: Apache-2.0
#include <sys/socket.h>
// After sys/socket.h, which it needs.
#include <linux/vm_sockets.h>
#include <poll.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "probe.h"

namespace cloister::probe {
namespace {

sockaddr_vm address(unsigned cid, unsigned port) {
  sockaddr_vm at{};
  at.svm_family = AF_VSOCK;
  at.svm_cid = cid;
  at.svm_port = port;
  return at;
}

int fail(const char* what) {
  std::perror(what);
  return 1;
}

bool send_all(int socket, const char* data, size_t length) {
  while (length != 0) {
    const ssize_t sent = write(socket, data, length);
    if (sent <= 0) return false;
    data += sent;
    length -= static_cast<size_t>(sent);
  }
  return true;
}

}  // namespace

int vsock_echo(unsigned port) {
  const int door = socket(AF_VSOCK, SOCK_STREAM, 0);
  const sockaddr_vm here = address(VMADDR_CID_ANY, port);
  if (door < 0 || bind(door, reinterpret_cast<const sockaddr*>(&here), sizeof here) != 0 ||
      listen(door, 1) != 0)
    return fail("vsock");
  std::printf("listening on %u\n", port);
  std::fflush(stdout);
  const int guest = accept(door, nullptr, nullptr);
  if (guest < 0) return fail("accept");
  char buffer[16384];
  unsigned long total = 0;
  for (ssize_t got; (got = read(guest, buffer, sizeof buffer)) > 0; total += static_cast<unsigned long>(got))
    if (!send_all(guest, buffer, static_cast<size_t>(got))) return fail("write");
  std::printf("echoed %lu bytes\n", total);
  return 0;
}

int vsock_to_host(unsigned port) {
  const int talk = socket(AF_VSOCK, SOCK_STREAM, 0);
  const sockaddr_vm host = address(VMADDR_CID_HOST, port);
  if (talk >= 0 && connect(talk, reinterpret_cast<const sockaddr*>(&host), sizeof host) == 0) return talk;
  std::perror("connect");
  return -1;
}

int listen_to(const char* path) {
  sockaddr_un at{};
  at.sun_family = AF_UNIX;
  std::strncpy(at.sun_path, path, sizeof at.sun_path - 1);
  const int talk = socket(AF_UNIX, SOCK_STREAM, 0);
  if (talk < 0 || connect(talk, reinterpret_cast<const sockaddr*>(&at), sizeof at) != 0) return fail(path);
  std::printf("listens\n");
  std::fflush(stdout);
  pollfd one = {talk, POLLIN, 0};
  char bytes[4096];
  while (poll(&one, 1, -1) == 1) {
    const ssize_t got = read(talk, bytes, sizeof bytes);
    if (got <= 0) return fail("its end");
    std::fwrite(bytes, 1, static_cast<size_t>(got), stdout);
    std::fflush(stdout);
  }
  return fail("poll");
}

int vsock_ask(unsigned port, const char* line) {
  const int talk = vsock_to_host(port);
  if (talk < 0) return 1;
  if (!send_all(talk, line, std::strlen(line)) || !send_all(talk, "\n", 1)) return fail("write");
  char answer[256];
  const ssize_t got = read(talk, answer, sizeof answer - 1);
  if (got < 0) return fail("read");
  answer[got] = '\0';
  std::printf("answer: %s\n", answer);
  return 0;
}

}  // namespace cloister::probe
