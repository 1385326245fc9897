// SPDX-License-Identifier: Apache-2.0
// Bringing a page's content to a frame of its own, and looking at it without
//
// A hart that needs a page that is packed, swapped or shared (and wants to write it) does the work itself, on
// its own thread, with itself counted as parked: others go on, and only who wants the same page waits. The
// frame is had first: a wait for the ledger must not hold a page that its reclaimer may be looking at.
//
// A device that writes all of a page does not want its content: a guest that reads a file into pages that it
// had free for long, and the host has swapped, waits for one disk and not for two.
//
// A device that only reads wants no frame: peek() marks the page as changing, so that nobody moves it or lets
// go of its slot, copies the content, and takes the mark away. Nothing was changed, so nothing is shot
// down. A disk write of a page that is in swap goes from one file to the other, and the page stays there.
//
// When a content cannot be read back from the swap file, the page stays as it is and the access fails, as
// with memory that is broken. The next access tries again.
#include <algorithm>
#include <cstring>

#include "base/log.h"
#include "base/os/clock.h"
#include "memory/guest_copy.h"
#include "memory/guest_memory.h"

namespace cloister::memory {
namespace {

// The pages around one in its cluster whose slots lie as the pages do.
std::vector<Gpn> swapped_neighbours(const PageTable& table, Gpn page) {
  const u32 slot = table.look(page).slot();
  const auto follows = [&](u64 other) {
    if (!table.is_memory({other})) return false;
    const PageWord word = table.look({other});
    return word.source() == Source::kSwap && u64{word.slot()} + page.raw == u64{slot} + other;
  };
  u64 first = page.raw, end = page.raw + 1;
  while (first % PageTable::kCluster != 0 && follows(first - 1)) --first;
  while (end % PageTable::kCluster != 0 && follows(end)) ++end;
  std::vector<Gpn> run;
  for (; first < end; ++first) run.push_back({first});
  return run;
}

}  // namespace

bool GuestMemory::bring_in(std::span<const Gpn> pages, Access access) {
  const Nanos begun = os::monotonic_now();
  const bool done = table_.holders().while_parked([&] {
    if (pages.size() == 1 && access != Access::kOverwrite && bring_in_with_neighbours(pages[0], access))
      return true;
    bool good = true;
    while (!pages.empty()) {
      const Pages credit = stock_.take({pages.size()});
      if (credit.raw == 0) return false;
      good = bring_in_batch(pages.first(credit.raw), access, credit) && good;
      pages = pages.subspan(credit.raw);
    }
    return good;
  });
  waited_.fetch_add((os::monotonic_now() - begun).raw, std::memory_order_relaxed);
  return done;
}

bool GuestMemory::bring_in_batch(std::span<const Gpn> pages, Access access, Pages credit) {
  const auto wanted = [&](PageWord word) { return state_for(access, word.state()) != word.state(); };
  bool good = true;
  for (const Gpn page : table_.begin_change(pages, wanted)) {
    const PageWord old = table_.look(page);
    const PageWord content = access == Access::kOverwrite ? PageWord{} : old;
    if (fill(page, content)) {
      credit -= Pages{1};
      if (content.source() == Source::kStore) unpacked_.fetch_add(1, std::memory_order_relaxed);
      const PageWord next = old.moved_to(PageState::kPrivate).without(PageWord::kHeld);
      table_.end_change(page, next.with(marks_of(access)));
      let_go(old);
    } else {
      good = false;
      table_.end_change(page, old);
    }
  }
  stock_.put(credit);
  return good;
}

// Neighbours that were swapped out together lie side by side in the file, and places do in memory: one read
// brings them all, in little more time than one page. Only frames that lie unused are spent on them, and they
// have no mark of use, so those that were not wanted go first. False, with nothing done, when this is no such
// page, or they are not worth it.
bool GuestMemory::bring_in_with_neighbours(Gpn page, Access access) {
  if (table_.look(page).source() != Source::kSwap) return false;
  if (!read_ahead_.is_worth_while(page)) return false;
  const std::vector<Gpn> run = swapped_neighbours(table_, page);
  Pages credit = stock_.take_from_here({run.size()});
  if (credit.raw < run.size()) return stock_.put(credit), false;
  std::vector<Gpn> ours =
      table_.begin_change(run, [](PageWord word) { return word.source() == Source::kSwap; });
  const bool whole = ours.size() == run.size() && read_run(ours);
  for (const Gpn one : ours) {
    const PageWord old = table_.look(one);
    const PageWord next = old.moved_to(PageState::kPrivate).without(PageWord::kReadMarks);
    table_.end_change(one, !whole ? old : one == page ? next.with(marks_of(access)) : next);
    if (whole) let_go(old);
  }
  whole ? read_ahead_.note(run.front(), credit, os::monotonic_now()) : stock_.put(credit);
  return whole;
}

// False, and holes again, when they do not lie in a row any more or cannot be read.
bool GuestMemory::read_run(std::span<const Gpn> run) {
  const u32 slot = table_.look(run[0]).slot();
  for (u32 i = 0; i < run.size(); ++i) {
    if (table_.look(run[i]).slot() != slot + i) return false;
  }
  const Pages count{run.size()};
  if (swap_->read(slot, {place_of(run[0]), bytes_of(count).raw}).ok()) return true;
  frames_.give_back({table_.index_of(run[0]), count});
  return false;
}

// Makes the pages of a range writable that cannot become so by a compare-and-swap, with one shootdown for
// many. For those that come to be so meanwhile there is settle(). Looks at the first kBatch pages only.
bool GuestMemory::prepare(GuestPhys address, Bytes count) {
  std::vector<Gpn> whole, others;
  const u64 last = (address + (count.raw - 1)).page();
  const u64 end = std::min(last + 1, address.page() + PageTable::kBatch);
  for (Gpn page = gpn_of(address); page.raw < end; ++page.raw) {
    if (!needs_bringing_in(table_.look(page), Access::kWrite)) continue;
    const bool is_whole = page.address() >= address && page.address() + kPageSize <= address + count.raw;
    (is_whole ? whole : others).push_back(page);
  }
  return (whole.empty() || bring_in(whole, Access::kOverwrite)) &&
         (others.empty() || bring_in(others, Access::kWrite));
}

// The page's place gets its content. Precondition: the page is ours, and its place is a hole.
bool GuestMemory::fill(Gpn page, PageWord old) {
  const u64 index = table_.index_of(page);
  frames_.populate(index, {1});
  if (old.source() == Source::kZeros) return true;
  if (copy_out(page, old, *reinterpret_cast<PageCopy*>(frames_.place(index)))) return true;
  frames_.give_back({index, {1}});
  return false;
}

// Precondition: nobody else moves the page meanwhile.
bool GuestMemory::copy_out(Gpn page, PageWord old, PageCopy& to) const {
  if (old.source() == Source::kStore) {
    store_->get(old.slot(), to.bytes);
  } else if (old.source() == Source::kSwap) {
    const Result<void> done = swap_->read(old.slot(), to.bytes);
    if (!done.ok())
      log(LogLevel::kError, "page {:#x} of the guest cannot be read back: {}", page.address().raw,
          done.failure().message);
    return done.ok();
  } else {
    copy_racing(to.bytes.data(), host_of(page, old), kPageSize);
  }
  if (old.source() == Source::kConditionPage) {
    // A record that is whole: a reader of the copy must not wait for the end of a write.
    const cloister_condition record = frames_.condition().read();
    std::memcpy(to.bytes.data(), &record, sizeof record);
  }
  return true;
}

// Copies the content of a page that has no frame of its own. False when it has, or content cannot be had.
bool GuestMemory::peek(Gpn page, PageCopy& to) {
  const auto elsewhere = [](PageWord word) { return has_slot(word.source()); };
  while (!table_.begin_copy(page, elsewhere)) {
    if (!elsewhere(table_.look(page))) return false;
    table_.wait_for_change(page);
  }
  const PageWord old = table_.look(page);
  const bool good = table_.holders().while_parked([&] { return copy_out(page, old, to); });
  table_.end_change(page, old.with(PageWord::kReadMarks));
  return good;
}

// What a page's old word kept elsewhere is no longer needed.
void GuestMemory::let_go(PageWord old) {
  const u32 slot = old.slot();
  if (old.source() == Source::kVault) books_->released({&slot, 1});
  if (old.source() == Source::kStore) store_->drop(slot);
  if (old.source() == Source::kSwap) swap_->give_back({slot, 1});
}

}  // namespace cloister::memory
