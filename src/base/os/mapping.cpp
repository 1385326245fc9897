// SPDX-License-Identifier: Apache-2.0
#include "base/os/mapping.h"

#include <linux/mman.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <vector>

#include "base/os/os_error.h"
#include "base/os/this_process.h"
#include "base/size.h"

namespace cloister::os {
namespace {

int host_protection(Protection protection) {
  switch (protection) {
    case Protection::kNone:
      return PROT_NONE;
    case Protection::kRead:
      return PROT_READ;
    case Protection::kReadWrite:
      return PROT_READ | PROT_WRITE;
    case Protection::kReadExecute:
      return PROT_READ | PROT_EXEC;
  }
  CHECK(false);
  return PROT_NONE;
}

constexpr bool page_aligned(u64 value) { return (value & kPageMask) == 0; }

Error no_space(Bytes size) {
  return os_error(fmt::format("cannot get {} of address space", format_size(size)));
}

}  // namespace

Result<Mapping> Mapping::anonymous(Bytes size, Protection protection) {
  return place(size, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, nullptr, 0);
}

Result<Mapping> Mapping::shared(const Fd& file, u64 offset, Bytes size, Protection protection) {
  return place(size, protection, MAP_SHARED | MAP_NORESERVE, &file, offset);
}

Result<Mapping> Mapping::place(Bytes size, Protection protection, int flags, const Fd* file, u64 offset) {
  CHECK(page_aligned(size.raw) && page_aligned(offset));
  const u64 alignment = size.raw >= Mapping::kHugePage ? Mapping::kHugePage : kPageSize;
  const u64 extra = alignment + 2 * kPageSize;
  if (size.raw == 0 || size.raw > UINT64_MAX - extra) return os_error("cannot map 0 bytes or 2^64", EINVAL);

  Mapping result;
  void* reserved =
      ::mmap(nullptr, size.raw + extra, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (reserved == MAP_FAILED) return no_space(size);
  result.reserved_ = static_cast<std::byte*>(reserved);
  result.reserved_size_ = size.raw + extra;

  const u64 first = reinterpret_cast<std::uintptr_t>(reserved) + kPageSize;
  const u64 start = (first + alignment - 1) & ~(alignment - 1);
  result.data_ = result.reserved_ + (start - (first - kPageSize));
  result.size_ = size;
  const int fd = file != nullptr ? file->get() : -1;
  void* mapped = ::mmap(result.data_, size.raw, host_protection(protection), flags | MAP_FIXED, fd,
                        static_cast<off_t>(offset));
  if (mapped == MAP_FAILED) return no_space(size);
  return result;
}

Mapping::~Mapping() {
  if (reserved_ != nullptr) CHECK(::munmap(reserved_, reserved_size_) == 0);
}

Result<void> Mapping::protect(u64 offset, Bytes size, Protection protection) {
  CHECK(covers(offset, size));
  if (::mprotect(data_ + offset, size.raw, host_protection(protection)) == 0) return {};
  return os_error(fmt::format("cannot change the protection of {}", format_size(size)));
}

void Mapping::discard(u64 offset, Bytes size) {
  CHECK(covers(offset, size));
  CHECK(::madvise(data_ + offset, size.raw, MADV_DONTNEED) == 0);
}

void Mapping::discard(std::span<const Range> ranges) {
  static std::atomic<bool> known{true};  // by the kernel
  std::array<iovec, 256> batch;
  while (known.load(std::memory_order_relaxed) && ranges.size() > 1) {
    const std::size_t count = std::min(batch.size(), ranges.size());
    u64 bytes = 0;
    for (std::size_t i = 0; i < count; ++i) {
      CHECK(covers(ranges[i].offset, ranges[i].size));
      batch[i] = {data_ + ranges[i].offset, ranges[i].size.raw};
      bytes += ranges[i].size.raw;
    }
    const long done = ::syscall(SYS_process_madvise, kThisProcess, batch.data(), count, MADV_DONTNEED, 0);
    if (done != static_cast<long>(bytes)) {
      known = false;
      break;
    }
    ranges = ranges.subspan(count);
  }
  for (const Range& range : ranges) discard(range.offset, range.size);
}

void Mapping::allow_huge_pages(bool allow) {
  // A kernel built without huge pages refuses the hint, which is the same as not allowed.
  (void)::madvise(data_, size_.raw, allow ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
}

void Mapping::populate(u64 offset, Bytes size) {
  DCHECK(covers(offset, size));
  (void)::madvise(data_ + offset, size.raw, MADV_POPULATE_WRITE);
}

void Mapping::populate_huge(u64 offset) {
  DCHECK(offset % kHugePage == 0 && covers(offset, {kHugePage}));
  // Only for so long: the host's kernel must not make huge pages of what was given back, by itself.
  (void)::madvise(data_ + offset, kHugePage, MADV_HUGEPAGE);
  (void)::madvise(data_ + offset, kHugePage, MADV_POPULATE_WRITE);
  (void)::madvise(data_ + offset, kHugePage, MADV_NOHUGEPAGE);
}

bool Mapping::collapse(u64 offset) {
  DCHECK(offset % kHugePage == 0 && covers(offset, {kHugePage}));
  (void)::madvise(data_ + offset, kHugePage, MADV_HUGEPAGE);
  const bool done = ::madvise(data_ + offset, kHugePage, MADV_COLLAPSE) == 0;
  (void)::madvise(data_ + offset, kHugePage, MADV_NOHUGEPAGE);
  return done;
}

// The kernel cuts a huge page that is said to be cold in part. Otherwise it would do so when it is short of
// memory, and not before.
void Mapping::split_huge(u64 offset) {
  DCHECK(offset % kHugePage == 0 && covers(offset, {kHugePage}));
  (void)::madvise(data_ + offset, kPageSize, MADV_COLD);
}

Bytes Mapping::resident() const {
  std::vector<unsigned char> present((size_.raw + kPageMask) >> kPageShift);
  CHECK(::mincore(data_, size_.raw, present.data()) == 0);
  return bytes_of(Pages{static_cast<u64>(
      std::count_if(present.begin(), present.end(), [](unsigned char one) { return (one & 1) != 0; }))});
}

bool Mapping::covers(u64 offset, Bytes size) const {
  return page_aligned(offset) && page_aligned(size.raw) && size.raw <= size_.raw &&
         offset <= size_.raw - size.raw;
}

void Mapping::swap(Mapping& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(reserved_, other.reserved_);
  std::swap(reserved_size_, other.reserved_size_);
}

}  // namespace cloister::os
