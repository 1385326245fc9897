// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "base/os/attempt.h"
#include "base/os/fd.h"
#include "base/result.h"
#include "base/units.h"

namespace cloister::os {

// A stream of bytes, or of packets: each read takes one message and each write sends one, whole.
enum class SocketKind : u8 { kStream, kPackets };

// Who is at the other end, as the host's kernel says: it cannot be feigned.
struct Peer {
  int process = 0;
  u32 user = 0;
};

// A connected socket that never blocks: a call that would has errno EAGAIN (would_block()).
class UnixStream {
 public:
  UnixStream() = default;
  explicit UnixStream(Fd fd) : fd_(std::move(fd)) {}

  static Attempt<UnixStream> connect(const std::string& path, SocketKind kind = SocketKind::kStream);
  // Both ends of one.
  static Attempt<std::pair<UnixStream, UnixStream>> pair(SocketKind kind);
  const Fd& fd() const { return fd_; }

  // 0: the other side has sent its last byte.
  Attempt<u64> read(std::span<std::byte> to) const;
  // Fewer bytes than asked for when the socket is full.
  Attempt<u64> write(std::span<const std::byte> from) const;
  enum class Half : u8 { kRead, kWrite };
  void shut(Half half) const;

  // The same with a descriptor that travels along: the other side gets its own of the same file. A packet
  // longer than `to` has errno EMSGSIZE and is gone.
  struct Received {
    u64 bytes = 0;
    Fd passed;  // valid when there was one
  };
  Attempt<Received> receive(std::span<std::byte> to) const;
  Attempt<u64> send(std::span<const std::byte> from, const Fd& passed) const;
  Attempt<Peer> peer() const;

 private:
  Fd fd_;
};

bool would_block(Errno failure);

// A socket file that others connect to; the file is removed at the end. Move-only.
class UnixListener {
 public:
  // Replaces a socket file behind which nobody listens any more. Refused: a path on which somebody listens,
  // that is anything but a socket, or that is too long (107 bytes).
  static Result<UnixListener> listen(const std::string& path, SocketKind kind = SocketKind::kStream);
  // A listening socket that another process made; its file stays.
  static UnixListener adopt(Fd listener) { return UnixListener(std::move(listener), ""); }
  UnixListener(UnixListener&&) = default;
  UnixListener& operator=(UnixListener&&) = delete;
  ~UnixListener();

  const Fd& fd() const { return fd_; }
  const std::string& path() const { return path_; }
  Attempt<UnixStream> accept() const { return accept_from(fd_); }
  // The same for a listening socket that another process made.
  static Attempt<UnixStream> accept_from(const Fd& listener);
  // Another process listens here now: the file stays.
  void leave_to_another() { path_.clear(); }

 private:
  UnixListener(Fd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}

  Fd fd_;
  std::string path_;
};

}  // namespace cloister::os
