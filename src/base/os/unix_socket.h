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

// A connected stream socket that never blocks: a call that would has errno EAGAIN (would_block()).
class UnixStream {
 public:
  UnixStream() = default;
  explicit UnixStream(Fd fd) : fd_(std::move(fd)) {}

  static Attempt<UnixStream> connect(const std::string& path);
  const Fd& fd() const { return fd_; }

  // 0: the other side has sent its last byte.
  Attempt<u64> read(std::span<std::byte> to) const;
  // Fewer bytes than asked for when the socket is full.
  Attempt<u64> write(std::span<const std::byte> from) const;
  enum class Half : u8 { kRead, kWrite };
  void shut(Half half) const;

 private:
  Fd fd_;
};

bool would_block(Errno failure);

// A socket file that others connect to; the file is removed at the end. Move-only.
class UnixListener {
 public:
  // Replaces a socket file behind which nobody listens any more. Refused: a path on which somebody listens,
  // that is anything but a socket, or that is too long (107 bytes).
  static Result<UnixListener> listen(const std::string& path);
  UnixListener(UnixListener&&) = default;
  UnixListener& operator=(UnixListener&&) = delete;
  ~UnixListener();

  const Fd& fd() const { return fd_; }
  const std::string& path() const { return path_; }
  Attempt<UnixStream> accept() const;

 private:
  UnixListener(Fd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}

  Fd fd_;
  std::string path_;
};

}  // namespace cloister::os
