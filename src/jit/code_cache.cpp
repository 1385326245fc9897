// SPDX-License-Identifier: Apache-2.0
#include "jit/code_cache.h"

#include "base/check.h"

namespace cloister::jit {
namespace {

constexpr std::size_t kAlignment = 64;  // a cache line: the host fetches code by them
// Bound: so much is asked of the host at once, ahead of the code. A page costs a sixth of its fault then.
constexpr std::size_t kAhead = 128 * kKiB;

}  // namespace

Result<std::unique_ptr<CodeCache>> CodeCache::create(Bytes size) {
  os::MemFile file = TRY(os::MemFile::create("cloister-code", size));
  os::Mapping write = TRY(file.map(os::Protection::kReadWrite));
  os::Mapping run = TRY(file.map(os::Protection::kReadExecute));
  return std::unique_ptr<CodeCache>(new CodeCache(std::move(file), std::move(write), std::move(run)));
}

CodeCache::CodeCache(os::MemFile file, os::Mapping write, os::Mapping run)
    : file_(std::move(file)), write_(std::move(write)), run_(std::move(run)) {}

CodeCache::Place CodeCache::allocate(std::size_t size) {
  const std::size_t begin = round_up(used_, kAlignment);
  const std::size_t end = write_.size().raw - cold_used_;
  if (begin > end || size > end - begin) return {};
  used_ = begin + size;
  populate();
  return {{write_.data() + begin, size}, run_.data() + begin};
}

CodeCache::Place CodeCache::allocate_cold(std::size_t size) {
  const std::size_t taken = round_up(size, kAlignment);
  if (taken > write_.size().raw - used_ - cold_used_) return {};
  cold_used_ += taken;
  populate();
  const std::size_t begin = write_.size().raw - cold_used_;
  return {{write_.data() + begin, size}, run_.data() + begin};
}

void CodeCache::populate() {
  const std::size_t size = write_.size().raw;
  for (; populated_ < used_ && populated_ + kAhead <= size; populated_ += kAhead)
    write_.populate(populated_, Bytes{kAhead});
  for (; cold_populated_ < cold_used_ && cold_populated_ + kAhead <= size; cold_populated_ += kAhead)
    write_.populate(size - cold_populated_ - kAhead, Bytes{kAhead});
}

void CodeCache::clear(std::size_t keep) {
  CHECK(keep <= used_);
  used_ = keep;
  cold_used_ = 0;
}

}  // namespace cloister::jit
