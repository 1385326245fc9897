// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <utility>
#include <vector>

#include "probe.h"

namespace cloister::probe {
namespace {

using u64 = std::uint64_t;

u64 mixed(u64 value) {
  value ^= value >> 31;
  value *= 0x9E3779B97F4A7C15;
  value ^= value >> 29;
  return value * 0xBF58476D1CE4E5B9;
}

// The pattern: each 8 bytes follow from the seed and their own place, so a block in a wrong place shows.
void fill(std::vector<u64>& words, u64 seed, u64 offset) {
  for (u64 i = 0; i < words.size(); ++i) words[i] = mixed(seed + offset + 8 * i);
}

struct Piece {
  u64 offset;
  u64 length;
};

// The disk cut into pieces of 512 bytes to 128 KiB, in random order.
std::vector<Piece> pieces(u64 seed, u64 size) {
  std::vector<Piece> all;
  for (u64 at = 0; at < size;) {
    u64 length = u64{512} << (mixed(seed + at) >> 40) % 9;
    if (length > size - at) length = size - at;
    all.push_back({at, length});
    at += length;
  }
  for (u64 i = all.size() - 1; i > 0; --i) std::swap(all[i], all[mixed(seed ^ i) % (i + 1)]);
  return all;
}

bool whole(ssize_t done, u64 length) { return done >= 0 && static_cast<u64>(done) == length; }

int fail(const char* what) {
  std::perror(what);
  return 1;
}

}  // namespace

int verify_blocks(const char* device, u64 seed, u64 mib) {
  const int disk = open(device, O_RDWR);
  if (disk < 0) return fail(device);
  const std::vector<Piece> plan = pieces(seed, mib << 20);
  std::vector<u64> words, back;
  for (const Piece& piece : plan) {
    words.resize(piece.length / 8);
    fill(words, seed, piece.offset);
    if (!whole(pwrite(disk, words.data(), piece.length, static_cast<off_t>(piece.offset)), piece.length))
      return fail("write");
  }
  if (fsync(disk) != 0) return fail("fsync");
  if (posix_fadvise(disk, 0, 0, POSIX_FADV_DONTNEED) != 0) return fail("fadvise");
  u64 wrong = 0;
  for (const Piece& piece : plan) {
    words.resize(piece.length / 8);
    back.assign(piece.length / 8, 0);
    fill(words, seed, piece.offset);
    if (!whole(pread(disk, back.data(), piece.length, static_cast<off_t>(piece.offset)), piece.length))
      return fail("read");
    wrong += back != words;
  }
  std::printf("%zu pieces, %llu wrong\n", plan.size(), static_cast<unsigned long long>(wrong));
  return wrong == 0 ? 0 : 1;
}

int keep_flushing(const char* file) {
  const int out = open(file, O_WRONLY | O_CREAT | O_APPEND, 0644);
  if (out < 0) return fail(file);
  char record[64];
  for (unsigned long number = 0;; ++number) {
    const int length = std::snprintf(record, sizeof record, "record %010lu\n", number);
    if (write(out, record, static_cast<size_t>(length)) != length) return fail("write");
    if (fsync(out) != 0) return fail("fsync");
    std::printf("flushed %lu\n", number);
    std::fflush(stdout);
  }
}

}  // namespace cloister::probe
