// SPDX-License-Identifier: Apache-2.0
// Writing pages to the swap file while the guest goes on
//
// A disk takes milliseconds, and a page that is being written is often wanted meanwhile. So nobody waits for
// the disk: the page is copied, with one shootdown, and is the guest's again at once, but write-protected and
// without its mark of recent use. When its copy is on the disk, the page is taken if nobody has written to
// it or used it since: then it was idle, and its slot has its content. Else the slot is given back, and a
// page that was in use after all has been kept out of swap for the price of a write.
//
// Pages are gathered in extents of 256 KiB and written to slots in a row with one call; a few threads keep as
// many writes under way. Packed pages come here too, unpacked, so that a page is read back with one read.
//
// When there are no slots left or a write fails, the pages stay where they are.
#include "memory/swap_out.h"

#include <algorithm>
#include <array>
#include <deque>
#include <utility>
#include <vector>

#include "base/lock.h"
#include "base/log.h"
#include "base/os/thread.h"
#include "memory/drop_frames.h"
#include "memory/page_copy.h"

namespace cloister::memory {
namespace {

constexpr std::size_t kExtent = 64;  // pages in one write
constexpr std::size_t kWriters = 6;  // extents written, or their pages taken, at once
// Bound: extents in memory at once: those under way, one that waits, one that is being filled.
constexpr std::size_t kExtents = kWriters + 2;

bool holds_frames(PageWord word) {
  return word.state() == PageState::kPrivate || word.state() == PageState::kCompressed;
}

bool can_be_copied(PageWord word) { return holds_frames(word) && !word.has(PageWord::kLeaving); }

bool is_unused_since_copied(PageWord word) {
  return holds_frames(word) && !word.has(PageWord::kWritten) && !word.has(PageWord::kRecent);
}

}  // namespace

// Copies those of `pages` that may be swapped out to `copies`, one after the other. Returns which; they must
// all be named to take_swapped() or stay_in_memory(). Precondition: no more pages than copies.
std::vector<Gpn> GuestMemory::copy_for_swap(std::span<const Gpn> pages, std::span<PageCopy> copies) {
  std::vector<Gpn> ours = table_.begin_change(pages, can_be_copied);
  for (std::size_t i = 0; i < ours.size(); ++i) {
    const PageWord old = table_.look(ours[i]);
    CHECK(copy_out(ours[i], old, copies[i]));
    const PageWord fresh = old.without(PageWord::kHeld | PageWord::kWritten | PageWord::kRecent);
    table_.end_change(ours[i], fresh.with(PageWord::kLeaving));
  }
  return ours;
}

// The copies of `pages` lie in the swap slots from `first` on: takes the pages that are as they were copied,
// and gives the other slots back. Returns the frames that came free.
Pages GuestMemory::take_swapped(std::span<const Gpn> pages, u32 first) {
  const u64 packed_before = store_->frames().raw;
  const auto slot_of = [&](Gpn page) {
    return first + static_cast<u32>(std::find(pages.begin(), pages.end(), page) - pages.begin());
  };
  const auto swapped = [&](Gpn page, PageWord old) {
    return old.moved_to(PageState::kSwapped, slot_of(page)).without(PageWord::kLeaving);
  };
  std::vector<Gpn> ours = table_.begin_change(pages, is_unused_since_copied);
  std::vector<bool> used(pages.size());
  for (const Gpn page : ours) used[slot_of(page) - first] = true;
  const auto own = std::partition(ours.begin(), ours.end(),
                                  [&](Gpn page) { return table_.look(page).state() == PageState::kPrivate; });
  for (auto page = own; page != ours.end(); ++page) {
    const PageWord old = table_.look(*page);
    table_.end_change(*page, swapped(*page, old));
    let_go(old);
  }
  Pages credit;
  drop(std::span(ours.begin(), own), credit, swapped);
  for (u32 i = 0; i < pages.size(); ++i) {
    if (used[i]) continue;
    swap_->give_back({first + i, 1});
    table_.clear(pages[i], PageWord::kLeaving);
  }
  stock_.put(credit);
  const u64 packed_now = store_->frames().raw;
  return credit + Pages{packed_before > packed_now ? packed_before - packed_now : 0};
}

// Their copies are not wanted.
void GuestMemory::stay_in_memory(std::span<const Gpn> pages) {
  for (const Gpn page : pages) table_.clear(page, PageWord::kLeaving);
}

struct SwapOut::State {
  struct Extent {
    std::vector<Gpn> pages;
    std::unique_ptr<std::array<PageCopy, kExtent>> copies;
  };

  explicit State(GuestMemory& guest) : memory(guest) {}

  void start_writers();
  void stop_writers();
  void run();
  void hand_over();
  void write(const Extent& extent);
  void note(Trouble what, const std::string& why);
  Extent spare_extent();

  GuestMemory& memory;
  std::vector<os::Thread> writers;
  Extent filling;

  Mutex lock{LockRank::kSwapSlots};
  Condition changed;
  std::deque<Extent> waiting GUARDED_BY(lock);
  std::vector<Extent> spare GUARDED_BY(lock);
  std::size_t made GUARDED_BY(lock) = 0;
  std::size_t under_way GUARDED_BY(lock) = 0;  // waiting too
  Done done GUARDED_BY(lock);
  bool stopping GUARDED_BY(lock) = false;
};

void SwapOut::State::start_writers() {
  if (!writers.empty()) return;
  for (std::size_t i = 0; i < kWriters; ++i) {
    auto thread = os::Thread::start("swap-out", [this] { run(); });
    if (thread.ok()) writers.push_back(thread.take());
  }
}

void SwapOut::State::stop_writers() {
  {
    const MutexLock guard(lock);
    stopping = true;
  }
  changed.notify_all();
  writers.clear();
}

void SwapOut::State::run() {
  for (;;) {
    Extent extent;
    {
      const MutexLock guard(lock);
      while (waiting.empty() && !stopping) changed.wait(lock);
      if (waiting.empty()) return;
      extent = std::move(waiting.front());
      waiting.pop_front();
    }
    write(extent);
    {
      const MutexLock guard(lock);
      extent.pages.clear();
      spare.push_back(std::move(extent));
      --under_way;
    }
    changed.notify_all();
  }
}

SwapOut::State::Extent SwapOut::State::spare_extent() {
  const MutexLock guard(lock);
  if (spare.empty() && made < kExtents) {
    ++made;
    return {{}, std::make_unique_for_overwrite<std::array<PageCopy, kExtent>>()};
  }
  while (spare.empty()) changed.wait(lock);
  Extent extent = std::move(spare.back());
  spare.pop_back();
  return extent;
}

void SwapOut::State::hand_over() {
  if (filling.pages.empty()) return;
  start_writers();
  if (writers.empty()) {  // the host has no thread left
    write(filling);
    filling.pages.clear();
    return;
  }
  {
    const MutexLock guard(lock);
    ++under_way;
    waiting.push_back(std::exchange(filling, {}));
  }
  changed.notify_all();
}

void SwapOut::State::write(const Extent& extent) {
  std::span<const Gpn> pages = extent.pages;
  std::span<const PageCopy> copies = *extent.copies;
  while (!pages.empty()) {
    const auto run = memory.swap_->take(static_cast<u32>(pages.size()));
    const Result<void> result =
        run ? memory.swap_->write(run->first, std::as_bytes(copies.first(run->count))) : error("it is full");
    if (!result.ok()) {
      if (run) memory.swap_->give_back(*run);
      memory.stay_in_memory(pages);
      return note(run ? Trouble::kFailed : Trouble::kFull, result.failure().message);
    }
    const Pages freed = memory.take_swapped(pages.first(run->count), run->first);
    pages = pages.subspan(run->count);
    copies = copies.subspan(run->count);
    const MutexLock guard(lock);
    done.freed += freed;
  }
}

void SwapOut::State::note(Trouble what, const std::string& why) {
  {
    const MutexLock guard(lock);
    if (done.trouble >= what) return;
    done.trouble = what;
  }
  log(LogLevel::kError, "pages cannot be written to the swap file and stay in memory: {}", why);
}

SwapOut::SwapOut(GuestMemory& memory) : state_(std::make_unique<State>(memory)) {}

SwapOut::~SwapOut() { state_->stop_writers(); }

void SwapOut::submit(std::span<const Gpn> pages) {
  State& state = *state_;
  CHECK(state.memory.has_swap());
  while (!pages.empty()) {
    if (state.filling.copies == nullptr) state.filling = state.spare_extent();
    auto& filled = state.filling.pages;
    const std::size_t count = std::min(pages.size(), kExtent - filled.size());
    const std::vector<Gpn> copied = state.memory.copy_for_swap(
        pages.first(count), std::span(*state.filling.copies).subspan(filled.size()));
    filled.insert(filled.end(), copied.begin(), copied.end());
    if (filled.size() == kExtent) state.hand_over();
    pages = pages.subspan(count);
  }
}

SwapOut::Done SwapOut::drain() {
  State& state = *state_;
  state.hand_over();
  const MutexLock guard(state.lock);
  while (state.under_way > 0) state.changed.wait(state.lock);
  return std::exchange(state.done, {});
}

}  // namespace cloister::memory
