// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstring>
#include <optional>
#include <span>
#include <type_traits>
#include <vector>

#include "base/guest_abi.h"
#include "base/os/unix_socket.h"
#include "base/units.h"

namespace cloister::cell {

// A record of base/guest_abi.h as it came.
struct Record {
  u32 kind = 0;
  std::vector<std::byte> body;

  // The body as a structure; nothing when it has another size.
  template <typename T>
  std::optional<T> as() const {
    static_assert(std::is_trivially_copyable_v<T>);
    if (body.size() != sizeof(T)) return std::nullopt;
    T value;
    std::memcpy(&value, body.data(), sizeof value);
    return value;
  }
};

// A socket on which both sides send records. Never blocks. What the other side does not take waits here, how
// much of it is the owner's to bound. Not thread safe.
class RecordStream {
 public:
  // Nobody may send a record with more than `most` bytes behind its header.
  RecordStream(os::UnixStream stream, u32 most) : stream_(std::move(stream)), most_(most) {}

  const os::UnixStream& stream() const { return stream_; }
  int fd() const { return stream_.fd().get(); }

  // Reads what is there, a piece of it. False: nothing more will come, or it is no record; what came whole
  // before can still be taken.
  bool read();
  std::optional<Record> next();

  void put(u32 kind, std::span<const std::byte> body);
  template <typename T>
  void put_value(u32 kind, const T& value) {
    put(kind, std::as_bytes(std::span(&value, 1)));
  }
  // Sends what it can of what waits. False: the other side is gone.
  bool flush();
  std::size_t waiting() const { return unsent_.size(); }
  bool sound() const { return !broken_; }

 private:
  os::UnixStream stream_;
  u32 most_;
  bool broken_ = false;
  std::vector<std::byte> read_;  // and not taken
  std::vector<std::byte> unsent_;
};

}  // namespace cloister::cell
