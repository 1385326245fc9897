// SPDX-License-Identifier: Apache-2.0
#include "jit/code_cache.h"

#include <algorithm>

#include "base/check.h"

namespace cloister::jit {
namespace {

constexpr std::size_t kAlignment = 64;  // a cache line: the host fetches code by them
// Bound: so much is asked of the host at once, ahead of the code. A page costs a sixth of its fault then.
constexpr std::size_t kAhead = 128 * kKiB;

}  // namespace

bool CodeAllowance::take(u64 bytes) {
  u64 left = left_.load(std::memory_order_relaxed);
  while (left >= bytes && !left_.compare_exchange_weak(left, left - bytes, std::memory_order_relaxed)) {
  }
  return left >= bytes;
}

Result<std::unique_ptr<CodeCache>> CodeCache::create(Bytes own, std::shared_ptr<CodeAllowance> more) {
  const Bytes most = more == nullptr ? own : own + more->size();
  os::MemFile file = TRY(os::MemFile::create("cloister-code", most));
  os::Mapping write = TRY(file.map(os::Protection::kReadWrite));
  os::Mapping run = TRY(file.map(os::Protection::kReadExecute));
  return std::unique_ptr<CodeCache>(
      new CodeCache(own, std::move(more), std::move(file), std::move(write), std::move(run)));
}

CodeCache::CodeCache(Bytes own, std::shared_ptr<CodeAllowance> more, os::MemFile file, os::Mapping write,
                     os::Mapping run)
    : own_(own.raw),
      more_(std::move(more)),
      file_(std::move(file)),
      write_(std::move(write)),
      run_(std::move(run)),
      held_(own_) {}

CodeCache::~CodeCache() {
  if (more_ != nullptr) more_->give(held_ - own_);
}

bool CodeCache::has_room(std::size_t bytes) {
  for (; held_ < bytes; held_ += kAhead) {
    if (more_ == nullptr || !more_->take(kAhead)) return false;
  }
  return bytes <= size().raw;
}

CodeCache::Place CodeCache::allocate(std::size_t size) {
  const std::size_t begin = round_up(used_, kAlignment);
  if (!has_room(begin + size + cold_used_)) return {};
  used_ = begin + size;
  populate();
  return {{write_.data() + begin, size}, run_.data() + begin};
}

CodeCache::Place CodeCache::allocate_cold(std::size_t size) {
  const std::size_t taken = round_up(size, kAlignment);
  if (!has_room(used_ + cold_used_ + taken)) return {};
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
  if (held_ > own_) give_back();
}

// With the memory, which somebody else may take now.
void CodeCache::give_back() {
  populated_ = std::min(populated_, round_up(used_, kAhead));
  cold_populated_ = 0;
  (void)file_.punch_hole(populated_, Bytes{size().raw - populated_});
  more_->give(held_ - own_);
  held_ = own_;
}

}  // namespace cloister::jit
