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

constexpr int kBacklog = 64;

std::optional<sockaddr_un> address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) return std::nullopt;
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

Fd make_socket() { return Fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)); }

bool bind_to(const Fd& socket, const sockaddr_un& address) {
  return ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

// Makes way for a new socket file, if what stands there is the leftover of a program that is gone.
Result<void> clear_leftover(const std::string& path) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0) return {};
  if (!S_ISSOCK(status.st_mode)) {
    return error("'{}' is there and is no socket; remove it or choose another path", path);
  }
  const Attempt<UnixStream> answer = UnixStream::connect(path);
  if (answer.failure().number != ECONNREFUSED) {
    return error("somebody listens on the socket '{}' already; stop that program or choose another path",
                 path);
  }
  if (::unlink(path.c_str()) != 0) return os_error(fmt::format("cannot replace the old socket '{}'", path));
  return {};
}

}  // namespace

bool would_block(Errno failure) { return failure.number == EAGAIN || failure.number == EWOULDBLOCK; }

Attempt<UnixStream> UnixStream::connect(const std::string& path) {
  const auto address = address_of(path);
  if (!address) return Errno{ENAMETOOLONG};
  Fd socket = make_socket();
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

Result<UnixListener> UnixListener::listen(const std::string& path) {
  const auto address = address_of(path);
  if (!address) {
    return error("the socket path '{}' has {} bytes, the host allows 1 to {}; choose a shorter one", path,
                 path.size(), sizeof(sockaddr_un::sun_path) - 1);
  }
  TRY(clear_leftover(path));
  UnixListener listener(make_socket(), path);
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

Attempt<UnixStream> UnixListener::accept() const {
  Fd stream(::accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!stream.valid()) return Errno{errno};
  return UnixStream(std::move(stream));
}

}  // namespace cloister::os
