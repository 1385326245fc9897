// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "base/os/file.h"
#include "base/result.h"
#include "base/units.h"

namespace cloister::machine {

// The content of a file that a machine boots from: in memory, or read as it is asked for, because what a
// machine never looks at again is not worth memory of its own. Move-only.
class BootFile {
 public:
  BootFile(std::vector<std::byte> content = {}) : window_(std::move(content)), size_(window_.size()) {}
  // `file` outlives it. Refused: more than `limit`, a size that cannot be had.
  static Result<BootFile> of(const os::File& file, Bytes limit);
  BootFile(BootFile&&) = default;
  BootFile& operator=(BootFile&&) = default;

  u64 size() const { return size_; }
  bool empty() const { return size_ == 0; }
  // The bytes from `offset` on: `count` of them, or as many as there are. Valid until the next call. None
  // when they cannot be read: see failure().
  std::span<const std::byte> at(u64 offset, u64 count);
  // Fills `to` with the bytes from `offset` on. Any thread, several at once. Refused: what cannot be read.
  // Precondition: there are so many.
  Result<void> read(u64 offset, std::span<std::byte> to) const;
  // Why at() gave less than there is, once it has.
  const std::optional<Error>& failure() const { return failure_; }

 private:
  bool fill_window(u64 offset, u64 count);

  const os::File* file_ = nullptr;  // none: the window is all of it
  std::vector<std::byte> window_;   // what was read last
  u64 begin_ = 0;                   // of the window
  u64 size_ = 0;
  std::optional<Error> failure_;
};

}  // namespace cloister::machine
