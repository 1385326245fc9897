// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <utility>

#include "base/os/fd.h"
#include "base/result.h"
#include "base/units.h"

namespace cloister::os {

enum class Open : u8 {
  kRead,
  kReadWrite,
  kCreate,     // read and write; made when missing
  kCreateNew,  // read and write; refused when it is there
};
enum class Lock : u8 { kShared, kExclusive };

// A file or block device, read and written at positions. Move-only. Any thread, several at once.
// Every error names the path and the remedy.
class File {
 public:
  static Result<File> open(const std::string& path, Open how);
  // A new, empty file in `folder` that never has a name, so that it is gone when the last descriptor is
  // closed, however this program ends.
  static Result<File> unnamed(const std::string& folder);
  // One that another opened for reading and writing; `name` is what errors call it. Refused: what open()
  // refuses.
  static Result<File> adopt(Fd fd, const std::string& name);

  const std::string& path() const { return path_; }
  const Fd& fd() const { return fd_; }

  // The size in bytes; of a block device, the device's.
  Result<Bytes> size() const;
  bool is_block_device() const { return block_device_; }

  // All bytes, or an error; reading past the end is one.
  Result<void> read_at(u64 offset, std::span<std::byte> to) const;
  Result<void> write_at(u64 offset, std::span<const std::byte> from);
  // The same over several buffers in order, in as few calls as the host allows.
  Result<void> read_at(u64 offset, std::span<const std::span<std::byte>> to) const;
  Result<void> write_at(u64 offset, std::span<const std::span<const std::byte>> from);

  Result<void> resize(Bytes size);
  // From now on reads and writes go past the host's page cache: offsets, sizes and buffers must be multiples
  // of the page. Refused where the file system cannot.
  Result<void> bypass_cache();
  // What was written is on the disk when it returns.
  Result<void> sync_data();
  // The range reads as zeros and its space is free again. Refused where the file system cannot.
  Result<void> punch_hole(u64 offset, Bytes size);
  // The range has its space on the disk from now on; it reads as before, or as zeros past the old end.
  Result<void> reserve(u64 offset, Bytes size);
  // When the file's content was last changed, since 1970.
  Result<Nanos> modified() const;
  // What the file really takes of its file system.
  Result<Bytes> allocated() const;
  // What this user may still write to the file's file system.
  Result<Bytes> remaining_space() const;

  // The whole file, for as long as this File is open, against every other File that locks it, in this process
  // or another. Never waits: a lock in the way is an error that names the holder's process id.
  Result<void> lock(Lock kind);

 private:
  File(std::string path, Fd fd, bool block_device)
      : path_(std::move(path)), fd_(std::move(fd)), block_device_(block_device) {}
  static Result<File> check(const std::string& path, Fd fd, const char* purpose);
  Error failure(const char* what) const;

  std::string path_;
  Fd fd_;
  bool block_device_;
};

// The whole of a small file, such as a configuration. Refused: over `limit`.
Result<std::string> read_text_file(const std::string& path, Bytes limit);

}  // namespace cloister::os
