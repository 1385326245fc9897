// SPDX-License-Identifier: Apache-2.0
// Huge pages of the host
//
// One costs the host's kernel a tenth of what its 512 pages cost one by one, to make and to take back, and
// makes each access through it cheaper. But what is taken from the middle of one comes back only when the
// kernel cuts it, and the kernel must not make one where nobody asked for 512 frames. So the mapping is
// closed to them, and opened for as long as a block of 2 MiB is filled whole; and before a part of such a
// block is given back it is cut. A block that was cut and is used as a whole again is made one huge page
// again, on the housekeeper's time (GuestMemory::collapse): a guest that had memory taken and given back
// would else run a third slower ever after.
//
// A file in memory (memfd) cannot do that: the default setting of hosts (shmem_enabled) refuses it huge
// pages.
#include "memory/frames.h"

#include "base/os/entropy.h"

namespace cloister::memory {
namespace {

Result<os::Mapping> make_balloon_page() {
  os::Mapping page = TRY(os::Mapping::anonymous({kPageSize}, os::Protection::kReadWrite));
  os::fill_random({page.data(), kMarkBytes});
  TRY(page.protect(0, page.size(), os::Protection::kRead));
  return page;
}

}  // namespace

Result<Frames> Frames::create(Pages pages) {
  os::Mapping places = TRY(os::Mapping::anonymous(bytes_of(pages), os::Protection::kReadWrite));
  places.allow_huge_pages(false);
  os::Mapping zeros = TRY(os::Mapping::anonymous({kZeroRun * kPageSize}, os::Protection::kRead));
  os::Mapping balloon = TRY(make_balloon_page());
  ConditionPage condition = TRY(ConditionPage::create());
  return Frames(std::move(places), std::move(zeros), std::move(balloon), std::move(condition));
}

void Frames::give_back(std::span<const Run> runs) {
  std::vector<os::Mapping::Range> ranges;
  for (const auto& [first, count] : runs) {
    const u64 end = first + count.raw;
    for (u64 block = first / kBlock; block * kBlock < end; ++block) {
      const bool whole = first <= block * kBlock && (block + 1) * kBlock <= end;
      if (huge_[block].load() && huge_[block].exchange(false) && !whole)
        places_.split_huge(block * os::Mapping::kHugePage);
    }
    ranges.push_back({first << kPageShift, bytes_of(count)});
  }
  places_.discard(ranges);
}

void Frames::populate(u64 first, Pages count) {
  if (count.raw != kBlock || first % kBlock != 0)
    return places_.populate(first << kPageShift, bytes_of(count));
  huge_[first / kBlock] = true;
  places_.populate_huge(first << kPageShift);
}

bool Frames::collapse(u64 first) {
  std::atomic<bool>& huge = huge_[first / kBlock];
  if (huge.exchange(true)) return false;
  const bool done = places_.collapse(first << kPageShift);
  huge = done;
  return done;
}

}  // namespace cloister::memory
