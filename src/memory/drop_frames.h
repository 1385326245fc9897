// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstring>

#include "memory/guest_memory.h"

// The end of every change that takes frames away (essay in give_up.cpp). For this folder's own files.
namespace cloister::memory {

inline bool same_page(const std::byte* a, const std::byte* b) { return std::memcmp(a, b, kPageSize) == 0; }

// Gives back the frames of `ours`, pages being changed that have frames of their own, and ends their change
// with next(page, old) each, in ascending order. The frames go to `credit`, from which next() may take. Sorts
// `ours`.
template <typename Next>
void GuestMemory::drop(std::span<Gpn> ours, Pages& credit, Next next) {
  std::sort(ours.begin(), ours.end());
  for (std::size_t first = 0, end = 0; first < ours.size(); first = end) {
    for (end = first + 1; end < ours.size() && ours[end].raw == ours[end - 1].raw + 1;) ++end;
    const Pages count{end - first};
    frames_.give_back(table_.index_of(ours[first]), count);
    credit += count;
    for (const Gpn page : ours.subspan(first, count.raw))
      table_.end_change(page, next(page, table_.look(page).without(PageWord::kHeld)));
  }
}

}  // namespace cloister::memory
