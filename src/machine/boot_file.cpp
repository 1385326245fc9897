// SPDX-License-Identifier: Apache-2.0
#include "machine/boot_file.h"

#include <algorithm>

#include "base/size.h"

namespace cloister::machine {

Result<BootFile> BootFile::of(const os::File& file, Bytes limit) {
  const Bytes size = TRY(file.size());
  if (size > limit)
    return error("{} has {}, over the limit of {}: is it the right file?", file.path(), format_size(size),
                 format_size(limit));
  BootFile result;
  result.file_ = &file;
  result.size_ = size.raw;
  return result;
}

std::span<const std::byte> BootFile::at(u64 offset, u64 count) {
  if (offset >= size_) return {};
  count = std::min(count, size_ - offset);
  const bool here = offset >= begin_ && offset - begin_ + count <= window_.size();
  if (!here && !fill_window(offset, count)) return {};
  return std::span<const std::byte>(window_).subspan(offset - begin_, count);
}

Result<void> BootFile::read(u64 offset, std::span<std::byte> to) const {
  if (file_ != nullptr) return file_->read_at(offset, to);
  std::copy_n(&window_[offset], to.size(), to.begin());
  return {};
}

bool BootFile::fill_window(u64 offset, u64 count) {
  if (failure_) return false;
  window_.resize(std::min(std::max(count, u64{kPageSize}), size_ - offset));
  begin_ = offset;
  const auto done = file_->read_at(offset, window_);
  if (done.ok()) return true;
  failure_ = done.failure();
  window_.clear();
  return false;
}

}  // namespace cloister::machine
