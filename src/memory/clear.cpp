// SPDX-License-Identifier: Apache-2.0
// Pages that are cleared as a whole
//
// A kernel clears each page before it hands it out, and often nobody writes there for long, or ever: a huge
// page that is used in part, a balloon's page. RISC-V has an instruction for it, so the page as a whole is
// known to be zeros from then on, and needs a frame no sooner than somebody writes something else. A page
// that has a frame keeps it: it was likely used a moment ago, and a frame costs more than clearing it.
#include "memory/guest_memory.h"

namespace cloister::memory {

bool GuestMemory::clear_without_frame(HolderId id, Gpn page) {
  DCHECK(table_.holders().entered_here(id));
  (void)id;
  if (!table_.is_memory(page)) return false;
  const auto elsewhere = [](PageWord word) {
    return word.source() != Source::kOwnFrame && word.state() != PageState::kZero;
  };
  for (PageWord old = table_.look(page); old.source() != Source::kOwnFrame; old = table_.look(page)) {
    if (old.has(PageWord::kChanging)) {
      table_.wait_for_change(page);
    } else if (old.state() == PageState::kZero) {
      if (old.has(PageWord::kWriteMarks)) return true;
      if (table_.word(page).compare_exchange_strong(old.raw, old.with(PageWord::kWriteMarks).raw))
        return true;
    } else if (!table_.begin_change({&page, 1}, elsewhere).empty()) {
      old = table_.look(page);
      const PageWord cleared = old.moved_to(PageState::kZero).without(PageWord::kHeld);
      table_.end_change(page, cleared.with(PageWord::kWriteMarks));
      let_go(old);
      return true;
    }
  }
  return false;
}

}  // namespace cloister::memory
