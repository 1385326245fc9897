// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstring>

#include "memory/guest_memory.h"

// The end of every change that takes frames away (essay in give_up.cpp). For this folder's own files.
namespace cloister::memory {

inline bool same_page(const std::byte* a, const std::byte* b) { return std::memcmp(a, b, kPageSize) == 0; }

// Ends the change of `ours` with next(page, old) each, in ascending order; the frames that they had go to
// `credit`, from which next() may take. All go in one call, and neighbours as one run, over those without a
// frame too: they are ours, and holes already, and the host's kernel takes longer to begin than to pass over
// them. Sorts `ours`.
template <typename Next>
void GuestMemory::drop(std::span<Gpn> ours, Pages& credit, Next next) {
  std::sort(ours.begin(), ours.end());
  credit += give_back_frames(ours);
  for (const Gpn page : ours) {
    const PageWord old = table_.look(page);
    table_.end_change(page, next(page, old.without(PageWord::kHeld)));
    let_go(old);
  }
}

}  // namespace cloister::memory
