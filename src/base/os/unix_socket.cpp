// SPDX-License-Identifier: Apache-2.0
#include "base/os/unix_socket.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>

#include "base/os/os_error.h"

namespace cloister::os {
namespace {

constexpr int kBacklog = 256;

std::optional<sockaddr_un> address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) return std::nullopt;
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

int type_of(SocketKind kind) {
  return (kind == SocketKind::kStream ? SOCK_STREAM : SOCK_SEQPACKET) | SOCK_CLOEXEC | SOCK_NONBLOCK;
}

Fd make_socket(SocketKind kind) { return Fd(::socket(AF_UNIX, type_of(kind), 0)); }

bool bind_to(const Fd& socket, const sockaddr_un& address) {
  return ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

// Makes way for a new socket file, if what stands there is the leftover of a program that is gone.
Result<void> clear_leftover(const std::string& path, SocketKind kind) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0) return {};
  if (!S_ISSOCK(status.st_mode)) {
    return error("'{}' is there and is no socket; remove it or choose another path", path);
  }
  const Attempt<UnixStream> answer = UnixStream::connect(path, kind);
  if (answer.failure().number != ECONNREFUSED) {
    return error("somebody listens on the socket '{}' already; stop that program or choose another path",
                 path);
  }
  if (::unlink(path.c_str()) != 0) return os_error(fmt::format("cannot replace the old socket '{}'", path));
  return {};
}

}  // namespace

bool would_block(Errno failure) { return failure.number == EAGAIN || failure.number == EWOULDBLOCK; }

Attempt<UnixStream> UnixStream::connect(const std::string& path, SocketKind kind) {
  const auto address = address_of(path);
  if (!address) return Errno{ENAMETOOLONG};
  Fd socket = make_socket(kind);
  if (!socket.valid()) return Errno{errno};
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof *address) != 0) {
    return Errno{errno};
  }
  return UnixStream(std::move(socket));
}

Attempt<u64> UnixStream::read(std::span<std::byte> to) const {
  const ssize_t count = ::recv(fd_.get(), to.data(), to.size(), 0);
  if (count < 0) return Errno{errno};
  return static_cast<u64>(count);
}

Attempt<u64> UnixStream::write(std::span<const std::byte> from) const {
  const ssize_t count = ::send(fd_.get(), from.data(), from.size(), MSG_NOSIGNAL);
  if (count < 0) return Errno{errno};
  return static_cast<u64>(count);
}

void UnixStream::shut(Half half) const { ::shutdown(fd_.get(), half == Half::kRead ? SHUT_RD : SHUT_WR); }

Attempt<std::pair<UnixStream, UnixStream>> UnixStream::pair(SocketKind kind) {
  int ends[2];
  if (::socketpair(AF_UNIX, type_of(kind), 0, ends) != 0) return Errno{errno};
  return std::pair(UnixStream(Fd(ends[0])), UnixStream(Fd(ends[1])));
}

Attempt<UnixStream::Received> UnixStream::receive(std::span<std::byte> to) const {
  iovec buffer{to.data(), to.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
  msghdr message{};
  message.msg_iov = &buffer;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  const ssize_t count = ::recvmsg(fd_.get(), &message, MSG_CMSG_CLOEXEC);
  if (count < 0) return Errno{errno};
  Received received;
  received.bytes = static_cast<u64>(count);
  const cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (header != nullptr && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS) {
    int raw = -1;
    std::memcpy(&raw, CMSG_DATA(header), sizeof raw);
    received.passed = Fd(raw);
  }
  if ((message.msg_flags & MSG_TRUNC) != 0) return Errno{EMSGSIZE};
  return received;
}

Attempt<u64> UnixStream::send(std::span<const std::byte> from, const Fd& passed) const {
  iovec buffer{const_cast<std::byte*>(from.data()), from.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &buffer;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  const int raw = passed.get();
  std::memcpy(CMSG_DATA(header), &raw, sizeof raw);
  const ssize_t count = ::sendmsg(fd_.get(), &message, MSG_NOSIGNAL);
  if (count < 0) return Errno{errno};
  return static_cast<u64>(count);
}

Attempt<Peer> UnixStream::peer() const {
  ucred who{};
  socklen_t size = sizeof who;
  if (::getsockopt(fd_.get(), SOL_SOCKET, SO_PEERCRED, &who, &size) != 0) return Errno{errno};
  return Peer{who.pid, who.uid};
}

Result<UnixListener> UnixListener::listen(const std::string& path, SocketKind kind) {
  const auto address = address_of(path);
  if (!address) {
    return error("the socket path '{}' has {} bytes, the host allows 1 to {}; choose a shorter one", path,
                 path.size(), sizeof(sockaddr_un::sun_path) - 1);
  }
  TRY(clear_leftover(path, kind));
  UnixListener listener(make_socket(kind), path);
  const std::string what = fmt::format("cannot listen on the socket '{}'", path);
  if (!listener.fd_.valid() || !bind_to(listener.fd_, *address)) {
    const Error failure = os_error(what);
    listener.path_.clear();  // not ours to remove
    return failure;
  }
  if (::listen(listener.fd_.get(), kBacklog) != 0) return os_error(what);
  return listener;
}

UnixListener::~UnixListener() {
  if (fd_.valid() && !path_.empty()) ::unlink(path_.c_str());
}

Attempt<UnixStream> UnixListener::accept_from(const Fd& listener) {
  Fd stream(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!stream.valid()) return Errno{errno};
  return UnixStream(std::move(stream));
}

}  // namespace cloister::os
