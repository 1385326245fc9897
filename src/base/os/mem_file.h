// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <utility>

#include "base/os/fd.h"
#include "base/os/mapping.h"
#include "base/result.h"
#include "base/units.h"

namespace cloister::os {

// Memory as a file without a name (memfd): pages can be mapped more than once, given to another process and
// given back one by one. Its size is sealed, so no holder of the descriptor can make a mapped page fault.
class MemFile {
 public:
  // `name` is seen in the host's /proc. Holds no memory until written.
  static Result<MemFile> create(const std::string& name, Bytes size);

  const Fd& fd() const { return fd_; }
  Bytes size() const { return size_; }
  Result<Mapping> map(Protection protection) const { return Mapping::shared(fd_, 0, size_, protection); }

  // A descriptor of the same file through which it cannot be written, to be given to another process. That
  // one must run as another user, or be forbidden to open files anew and to change their modes.
  Result<Fd> read_only() const;

  // Without a mapping. Precondition of both: inside the file. Refused: when the host has no memory.
  Result<void> read_at(u64 offset, std::span<std::byte> to) const;
  Result<void> write_at(u64 offset, std::span<const std::byte> from);

  // Gives [offset, offset + size) back to the host; it reads as zeros, in every mapping.
  // Precondition: page-aligned and inside the file.
  Result<void> punch_hole(u64 offset, Bytes size);
  // What the host's kernel holds for this file now (st_blocks).
  Bytes allocated() const;

 private:
  MemFile(Fd fd, Bytes size) : fd_(std::move(fd)), size_(size) {}

  Fd fd_;
  Bytes size_;
};

}  // namespace cloister::os
