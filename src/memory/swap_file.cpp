// SPDX-License-Identifier: Apache-2.0
#include "memory/swap_file.h"

#include <algorithm>
#include <bit>

#include "base/log.h"
#include "base/size.h"

namespace cloister::memory {
namespace {

constexpr u64 kMostSlots = u64{1} << 32;

}  // namespace

Result<std::unique_ptr<SwapFile>> SwapFile::create(const std::string& folder, Bytes size) {
  return adopt(TRY(os::File::unnamed(folder)), size);
}

Result<std::unique_ptr<SwapFile>> SwapFile::adopt(os::File file, Bytes size) {
  const Pages capacity{size.raw >> kPageShift};
  if (size.raw == 0 || size.raw % kPageSize != 0 || capacity.raw > kMostSlots) {
    return error("swap of {} in {}: ask for a multiple of {}, at least one and at most 16 TiB",
                 format_size(size), file.path(), format_size({kPageSize}));
  }
  TRY(file.resize({0}));
  TRY(file.resize(size));
  TRY(file.reserve(0, size));
  // The host's page cache would keep in memory what was just taken from it. Where the file system knows no
  // other way, that memory is at least the host's to take.
  if (const Result<void> direct = file.bypass_cache(); !direct.ok())
    log(LogLevel::kInfo, "swap goes through the host's page cache: {}", direct.failure().message);
  return std::unique_ptr<SwapFile>(new SwapFile(std::move(file), capacity));
}

SwapFile::SwapFile(os::File file, Pages capacity) : file_(std::move(file)), capacity_(capacity) {
  const MutexLock lock(lock_);
  taken_.resize((capacity.raw + 63) / 64);
  // What is past the end is never free.
  for (u64 slot = capacity.raw; slot < taken_.size() * 64; ++slot) taken_[slot / 64] |= u64{1} << (slot % 64);
}

std::optional<SwapFile::Run> SwapFile::take(u32 most) {
  const MutexLock lock(lock_);
  if (used_.load() == capacity_.raw) return std::nullopt;
  u64 first = next_free(next_);
  if (first == capacity_.raw) first = next_free(0);
  CHECK(first < capacity_.raw);
  Run run{static_cast<u32>(first), 0};
  while (run.count < most && first + run.count < capacity_.raw && !is_taken(first + run.count)) ++run.count;
  set_taken(run, true);
  next_ = first + run.count;
  return run;
}

void SwapFile::give_back(Run run) {
  const MutexLock lock(lock_);
  set_taken(run, false);
}

void SwapFile::set_taken(Run run, bool taken) {
  for (u64 slot = run.first; slot < u64{run.first} + run.count; ++slot) {
    CHECK(slot < capacity_.raw && is_taken(slot) != taken);
    taken_[slot / 64] ^= u64{1} << (slot % 64);
  }
  taken ? used_.fetch_add(run.count) : used_.fetch_sub(run.count);
}

// The first free slot at or after `from`, or capacity().
u64 SwapFile::next_free(u64 from) const {
  for (u64 word = from / 64; word < taken_.size(); ++word) {
    const u64 before = word == from / 64 ? (u64{1} << (from % 64)) - 1 : 0;
    const u64 free = ~(taken_[word] | before);
    if (free != 0) return word * 64 + static_cast<u64>(std::countr_zero(free));
  }
  return capacity_.raw;
}

Result<void> SwapFile::write(u32 first, std::span<const std::byte> from) {
  const Result<void> done = file_.write_at(u64{first} << kPageShift, from);
  (done.ok() ? written_ : failed_writes_).fetch_add(done.ok() ? from.size() >> kPageShift : 1);
  return done;
}

Result<void> SwapFile::read(u32 first, std::span<std::byte> to) const {
  const Result<void> done = file_.read_at(u64{first} << kPageShift, to);
  (done.ok() ? read_ : failed_reads_).fetch_add(done.ok() ? to.size() >> kPageShift : 1);
  return done;
}

SwapFile::Counts SwapFile::counts() const {
  return {{written_.load()}, {read_.load()}, failed_writes_.load(), failed_reads_.load()};
}

}  // namespace cloister::memory
