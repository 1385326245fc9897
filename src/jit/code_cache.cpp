// SPDX-License-Identifier: Apache-2.0
#include "jit/code_cache.h"

#include "base/check.h"

namespace cloister::jit {
namespace {

constexpr std::size_t kAlignment = 64;  // a cache line: the host fetches code by them

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
  const std::size_t begin = (used_ + kAlignment - 1) / kAlignment * kAlignment;
  if (begin > write_.size().raw || size > write_.size().raw - begin) return {};
  used_ = begin + size;
  return {{write_.data() + begin, size}, run_.data() + begin};
}

void CodeCache::trim(const Place& last, std::size_t size) {
  CHECK(last.write.data() + last.write.size() == write_.data() + used_);
  CHECK(size <= last.write.size());
  used_ -= last.write.size() - size;
}

void CodeCache::clear(std::size_t keep) {
  CHECK(keep <= used_);
  used_ = keep;
}

}  // namespace cloister::jit
