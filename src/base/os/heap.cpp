// SPDX-License-Identifier: Apache-2.0
#include "base/os/heap.h"

#include <malloc.h>
#include <sys/mman.h>

#include <cstdlib>

namespace cloister::os {

// Such a piece is taken from the end of the heap, which then stays as it is when the piece is free again.
void prepare_heap(Bytes size) {
  constexpr int kMost = 8 << 20;  // larger ones are mapped by themselves, and go when they are free
  static const bool stays = mallopt(M_MMAP_THRESHOLD, kMost) != 0 && mallopt(M_TRIM_THRESHOLD, kMost) != 0;
  void* const piece = stays ? std::malloc(size.raw) : nullptr;
  if (piece == nullptr) return;
  const u64 begin = reinterpret_cast<u64>(piece), first = round_up(begin, kPageSize);
  const u64 end = (begin + size.raw) & ~kPageMask;
  if (first < end) (void)::madvise(reinterpret_cast<void*>(first), end - first, MADV_POPULATE_WRITE);
  std::free(piece);
}

void give_back_free_heap() { (void)malloc_trim(0); }

}  // namespace cloister::os
