// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <span>

#include "base/os/mapping.h"
#include "base/os/mem_file.h"
#include "base/result.h"
#include "base/units.h"

namespace cloister::jit {

// Memory for the code of whoever of a machine's harts needs it: a kernel mostly boots on one of them, and has
// then more code there than all others together. Any thread.
class CodeAllowance {
 public:
  explicit CodeAllowance(Bytes size) : size_(size), left_(size.raw) {}
  Bytes size() const { return size_; }
  // False: not so much is left.
  bool take(u64 bytes);
  void give(u64 bytes) { left_.fetch_add(bytes, std::memory_order_relaxed); }

 private:
  const Bytes size_;
  std::atomic<u64> left_;
};

// Memory for translated code. Never writable and executable at one address: the same pages are mapped
// twice, once to write and once to run. What runs often fills it from the beginning, what seldom runs from
// the end, so that the host's caches and TLB hold the former only. Given up as a whole. Not thread safe.
class CodeCache {
 public:
  // `own` bytes, and what can be had of `more`.
  static Result<std::unique_ptr<CodeCache>> create(Bytes own, std::shared_ptr<CodeAllowance> more = nullptr);
  ~CodeCache();

  // A place for `size` bytes, 64-byte aligned, and where it will run; an empty span when the cache is full.
  struct Place {
    std::span<std::byte> write;
    const std::byte* run = nullptr;
  };
  Place allocate(std::size_t size);
  // The same for what seldom runs, at a higher address.
  Place allocate_cold(std::size_t size);

  // All of it but the first `keep` bytes; what was not its own goes back. Precondition: none of it is being
  // executed, and nothing leads there any more.
  void clear(std::size_t keep);
  std::size_t used() const { return used_ + cold_used_; }
  Bytes size() const { return write_.size(); }
  // From where code runs to where it may be written.
  std::byte* writable(const void* run) const {
    return write_.data() + (static_cast<const std::byte*>(run) - run_.data());
  }

 private:
  CodeCache(Bytes own, std::shared_ptr<CodeAllowance> more, os::MemFile file, os::Mapping write,
            os::Mapping run);
  bool has_room(std::size_t bytes);
  void populate();
  void give_back();

  const u64 own_;
  const std::shared_ptr<CodeAllowance> more_;
  os::MemFile file_;
  os::Mapping write_;
  os::Mapping run_;
  u64 held_;  // own_ and what was had of more_
  std::size_t used_ = 0;
  std::size_t cold_used_ = 0;
  // From both ends: how much has pages.
  std::size_t populated_ = 0;
  std::size_t cold_populated_ = 0;
};

}  // namespace cloister::jit
