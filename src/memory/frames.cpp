// SPDX-License-Identifier: Apache-2.0
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
  os::MemFile file = TRY(os::MemFile::create("guest-memory", bytes_of(pages)));
  os::Mapping places = TRY(file.map(os::Protection::kReadWrite));
  // A page inside a huge page comes back to the host only when its kernel manages to split that.
  places.allow_huge_pages(false);
  os::Mapping zeros = TRY(os::Mapping::anonymous({kZeroRun * kPageSize}, os::Protection::kRead));
  os::Mapping balloon = TRY(make_balloon_page());
  ConditionPage condition = TRY(ConditionPage::create());
  return Frames(std::move(file), std::move(places), std::move(zeros), std::move(balloon),
                std::move(condition));
}

}  // namespace cloister::memory
