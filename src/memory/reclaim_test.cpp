// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <thread>
#include <vector>

#include "base/os/clock.h"
#include "base/os/file.h"
#include "base/random.h"
#include "memory/guest_memory.h"
#include "memory/reclaimer.h"
#include "memory/testing_hart.h"
#include "memory/testing_host.h"

namespace cloister::memory {
namespace {

using namespace testing;
using Content = std::vector<std::byte>;

// A swap file on a disk that breaks.
class BreakingSwap : public SwapFile {
 public:
  explicit BreakingSwap(Pages capacity) : SwapFile(os::File::unnamed("/tmp").take(), capacity) {}
  Result<void> write(u32 first, std::span<const std::byte> from) override {
    if (writes_fail) return error("the disk says no");
    return SwapFile::write(first, from);
  }
  Result<void> read(u32 first, std::span<std::byte> to) const override {
    if (reads_fail) return error("the disk says no");
    return SwapFile::read(first, to);
  }
  std::atomic<bool> writes_fail{false}, reads_fail{false};
};

class ReclaimTest : public ::testing::Test {
 protected:
  static constexpr u64 kPages = 256;

  static Content noise(u64 seed) {
    Random random(seed);
    Content content(kPageSize);
    for (std::byte& byte : content) byte = static_cast<std::byte>(random.next());
    return content;
  }
  static Content text(u64 seed) {
    Content content(kPageSize);
    for (std::size_t i = 0; i < kPageSize; ++i) content[i] = static_cast<std::byte>(seed + i / 32);
    return content;
  }
  static std::vector<Gpn> pages(u64 first, u64 count) {
    std::vector<Gpn> result;
    for (u64 i = 0; i < count; ++i) result.push_back(nth(first + i));
    return result;
  }
  static ReclaimOrder order(u64 wanted, Ways ways = Ways::all()) {
    return {.wanted = {wanted}, .allowed = ways, .deadline = os::monotonic_now() + Nanos{20'000'000'000}};
  }

  void put(u64 page, const Content& content) { ASSERT_TRUE(memory->write(nth(page).address(), content)); }
  Content get(u64 page) {
    Content content(kPageSize);
    EXPECT_TRUE(memory->read(nth(page).address(), content));
    return content;
  }
  u64 in(PageState state) { return memory->usage().in_state[static_cast<int>(state)].raw; }
  ByWay evict(u64 first, u64 count, Ways ways = Ways::all()) {
    left.clear();
    return memory->evict(pages(first, count), ways, left);
  }

  // All pages were used once; each `step`th one is used again. Then all are idle, and of age.
  void prove(Reclaimer& reclaimer, u64 step) {
    reclaimer.age({kPages});
    std::this_thread::sleep_for(std::chrono::milliseconds(1100));
    for (u64 page = 0; page < kPages; page += step) get(page);
    reclaimer.age({kPages});
    std::this_thread::sleep_for(std::chrono::milliseconds(1100));
  }

  Pool pool{Pages{10'000}};
  BreakingSwap swap{Pages{kPages}};
  std::unique_ptr<GuestMemory> memory = GuestMemory::create(kBase, {kPages * kPageSize}).take();
  std::vector<Gpn> left;
};

TEST_F(ReclaimTest, ZerosCostNothingAndComeBackAsZeros) {
  put(3, Content(kPageSize));
  EXPECT_EQ(in(PageState::kPrivate), 1u);
  EXPECT_EQ(evict(3, 1)[Way::kZero], Pages{1});
  EXPECT_EQ(memory->state(nth(3)), PageState::kZero);
  EXPECT_EQ(memory->host(), Bytes{0});
  EXPECT_EQ(get(3), Content(kPageSize));
}

TEST_F(ReclaimTest, WhatIsPackedComesBackAsItWas) {
  for (u64 page = 0; page < 100; ++page) put(page, text(page));
  const ByWay got = evict(0, 100);
  EXPECT_EQ(in(PageState::kCompressed), 100u);
  EXPECT_EQ(got[Way::kCompress] + memory->usage().store, Pages{100}) << "the store's growth is taken off";
  EXPECT_LT(memory->usage().store.raw, 25u);
  memory->check_invariants();
  for (u64 page = 0; page < 100; ++page) {
    EXPECT_EQ(get(page), text(page));
    EXPECT_EQ(memory->state(nth(page)), PageState::kCompressed) << "a device's read takes no frame";
  }
  EXPECT_EQ(memory->usage().packed, Pages{100});
  EXPECT_EQ(memory->usage().unpacked, Pages{0});
  EXPECT_EQ(memory->usage().waited, Nanos{0});
  CachingHart hart(*memory);
  hart.enter();
  for (u64 page = 0; page < 100; ++page) hart.load(word_at(page, 0));
  hart.leave();
  EXPECT_EQ(in(PageState::kPrivate), 100u);
  EXPECT_EQ(memory->usage().unpacked, Pages{100});
  EXPECT_GT(memory->usage().waited, Nanos{0});
  EXPECT_EQ(memory->usage().store, Pages{0});
  for (u64 page = 0; page < 100; ++page) EXPECT_EQ(get(page), text(page));
  memory->check_invariants();
}

TEST_F(ReclaimTest, WhatCannotBePackedIsLeft) {
  put(1, noise(1));
  put(2, text(2));
  EXPECT_EQ(evict(0, 4).total(), Pages{0}) << "one page packed into one frame is no gain yet";
  EXPECT_EQ(left, pages(1, 1));
  EXPECT_EQ(memory->state(nth(1)), PageState::kPrivate);
  EXPECT_EQ(get(1), noise(1));
}

TEST_F(ReclaimTest, OnlyAllowedWaysAreGone) {
  put(0, Content(kPageSize));
  put(1, text(1));
  evict(0, 2, Ways().with(Way::kCompress));
  EXPECT_EQ(memory->state(nth(0)), PageState::kCompressed);
  EXPECT_EQ(memory->state(nth(1)), PageState::kCompressed);
  put(0, Content(kPageSize));
  put(1, text(2));
  evict(0, 2, Ways().with(Way::kZero));
  EXPECT_EQ(memory->state(nth(0)), PageState::kZero);
  EXPECT_EQ(memory->state(nth(1)), PageState::kPrivate);
}

TEST_F(ReclaimTest, APinnedPageStays) {
  put(1, text(1));
  memory->with_pinned(nth(1).address(), {8}, Access::kRead, [&](auto) {
    EXPECT_EQ(evict(1, 1).total(), Pages{0});
    return true;
  });
  EXPECT_EQ(memory->state(nth(1)), PageState::kPrivate);
}

TEST_F(ReclaimTest, BalloonPagesAreFoundByScanToo) {
  put(1, Content(memory->balloon_value().begin(), memory->balloon_value().end()));
  EXPECT_EQ(evict(0, 4)[Way::kBalloonValue], Pages{1});
  EXPECT_EQ(memory->state(nth(1)), PageState::kBalloonValue);
}

TEST_F(ReclaimTest, APageThatIsWrittenWholeIsNotReadBack) {
  memory->set_swap(swap);
  for (u64 page = 0; page < 4; ++page) put(page, noise(page));
  SwapOut out(*memory);
  out.submit(pages(0, 4));
  ASSERT_EQ(out.drain().freed, Pages{4});
  swap.reads_fail = true;
  Content two = noise(7);
  two.resize(2 * kPageSize, std::byte{8});
  ASSERT_TRUE(memory->write(nth(1).address(), two)) << "nobody asks for what the two held";
  EXPECT_EQ(in(PageState::kSwapped), 2u);
  EXPECT_FALSE(memory->write(nth(0).address() + 1, std::span(two).first(kPageSize))) << "a part of two pages";
  swap.reads_fail = false;
  EXPECT_EQ(get(1), noise(7));
  EXPECT_EQ(get(2), Content(kPageSize, std::byte{8}));
  ASSERT_TRUE(memory->write(nth(3).address(), std::span(two).first(1)));
  Content partly = noise(3);
  partly[0] = two[0];
  EXPECT_EQ(get(3), partly);
  memory->check_invariants();
}

TEST_F(ReclaimTest, SwappedPagesComeBackAsTheyWere) {
  memory->set_swap(swap);
  for (u64 page = 0; page < 150; ++page) put(page, noise(page));
  SwapOut out(*memory);
  out.submit(pages(0, 200));
  EXPECT_EQ(out.drain().freed, Pages{150});
  EXPECT_EQ(in(PageState::kSwapped), 150u);
  EXPECT_EQ(memory->host(), Bytes{0});
  memory->check_invariants();
  for (u64 page = 0; page < 150; ++page) EXPECT_EQ(get(page), noise(page));
  EXPECT_EQ(in(PageState::kSwapped), 150u) << "a device's read takes no frame";
  CachingHart hart(*memory);
  hart.enter();
  for (u64 page = 0; page < 150; ++page) hart.store(word_at(page, 3), page);
  hart.leave();
  EXPECT_EQ(swap.used(), Pages{0});
  for (u64 page = 0; page < 150; ++page) {
    Content expected = noise(page);
    reinterpret_cast<u64*>(expected.data())[3] = page;
    EXPECT_EQ(get(page), expected);
  }
}

TEST_F(ReclaimTest, NeighboursComeBackTogetherWhileFramesLieUnused) {
  memory->set_frame_source(pool);
  memory->set_swap(swap);
  for (u64 page = 0; page < 64; ++page) put(page, noise(page));
  SwapOut out(*memory);
  out.submit(pages(0, 64));
  ASSERT_EQ(out.drain().freed, Pages{64});
  CachingHart hart(*memory);
  hart.enter();
  EXPECT_EQ(hart.load(word_at(20, 0)), *reinterpret_cast<const u64*>(noise(20).data()));
  hart.leave();
  EXPECT_EQ(in(PageState::kPrivate), 1u) << "one page by chance comes alone";
  hart.enter();
  hart.load(word_at(21, 0));
  hart.leave();
  EXPECT_EQ(in(PageState::kPrivate), 12u) << "who goes along gets the rest of the cluster by one read";
  EXPECT_TRUE(memory->has_marks(nth(21), PageWord::kRecent));
  EXPECT_FALSE(memory->has_marks(nth(22), PageWord::kRecent)) << "it has not been used";
  memory->begin_shrinking();
  hart.enter();
  hart.load(word_at(32, 0));
  hart.load(word_at(33, 0));
  hart.leave();
  EXPECT_EQ(in(PageState::kPrivate), 14u) << "without frames to spare each comes alone";
  for (u64 page = 0; page < 64; ++page) EXPECT_EQ(get(page), noise(page));
  memory->check_invariants();
}

TEST_F(ReclaimTest, PackedPagesCanBeSwapped) {
  memory->set_swap(swap);
  for (u64 page = 0; page < 100; ++page) put(page, text(page));
  evict(0, 100);
  const Pages store = memory->usage().store;
  SwapOut out(*memory);
  out.submit(memory->longest_packed(100));
  out.submit(pages(0, 100));
  EXPECT_GE(out.drain().freed, store) << "more where what was left of it had to move together first";
  EXPECT_EQ(memory->usage().store, Pages{});
  EXPECT_EQ(in(PageState::kSwapped), 100u);
  for (u64 page = 0; page < 100; ++page) EXPECT_EQ(get(page), text(page));
}

TEST_F(ReclaimTest, APageThatIsUsedWhileItIsWrittenStays) {
  memory->set_swap(swap);
  put(1, noise(1));
  put(2, noise(2));
  SwapOut out(*memory);
  out.submit(pages(1, 2));  // copied; written only with the next drain
  ASSERT_TRUE(memory->store<u8>(word_at(1, 0), 9));
  out.drain();
  EXPECT_EQ(memory->state(nth(1)), PageState::kPrivate);
  EXPECT_EQ(memory->state(nth(2)), PageState::kSwapped);
  EXPECT_EQ(memory->load<u8>(word_at(1, 0)), 9);
  EXPECT_EQ(swap.used(), Pages{1});
  memory->check_invariants();
}

TEST_F(ReclaimTest, WhenSwapIsFullPagesStay) {
  const auto small = make_swap({10});
  memory->set_swap(*small);
  for (u64 page = 0; page < 100; ++page) put(page, noise(page));
  SwapOut out(*memory);
  out.submit(pages(0, 100));
  const auto done = out.drain();
  EXPECT_EQ(done.freed, Pages{10});
  EXPECT_EQ(done.trouble, SwapOut::Trouble::kFull);
  EXPECT_EQ(in(PageState::kPrivate), 90u);
  for (u64 page = 0; page < 100; ++page) EXPECT_EQ(get(page), noise(page));
  memory->check_invariants();
  memory.reset();
}

TEST_F(ReclaimTest, WhenWritesFailPagesStay) {
  memory->set_swap(swap);
  for (u64 page = 0; page < 100; ++page) put(page, noise(page));
  swap.writes_fail = true;
  Reclaimer reclaimer(*memory, 1);
  EXPECT_EQ(reclaimer.reclaim(order(50)).end, ReclaimEnd::kSwapFailed);
  EXPECT_EQ(in(PageState::kPrivate), 100u);
  EXPECT_EQ(swap.used(), Pages{0});
  swap.writes_fail = false;
  EXPECT_EQ(reclaimer.reclaim(order(50)).end, ReclaimEnd::kDone) << "the next order tries again";
  for (u64 page = 0; page < 100; ++page) EXPECT_EQ(get(page), noise(page));
}

TEST_F(ReclaimTest, APageThatCannotBeReadBackIsAsBrokenMemory) {
  memory->set_swap(swap);
  put(1, noise(1));
  SwapOut out(*memory);
  out.submit(pages(1, 1));
  out.drain();
  swap.reads_fail = true;
  CachingHart hart(*memory);
  std::byte byte{};
  EXPECT_FALSE(memory->read(nth(1).address(), {&byte, 1}));
  EXPECT_FALSE(memory->write(nth(1).address(), {&byte, 1}));
  EXPECT_FALSE(memory->load<u64>(nth(1).address()));
  EXPECT_FALSE(memory->store<u64>(nth(1).address(), 1));
  EXPECT_FALSE(memory->fill_zero(nth(1).address(), {8}));
  hart.enter();
  EXPECT_FALSE(hart.can_reach(nth(1)));
  hart.leave();
  EXPECT_EQ(memory->state(nth(1)), PageState::kSwapped);
  swap.reads_fail = false;
  EXPECT_EQ(get(1), noise(1)) << "and the next access tries again";
  memory->check_invariants();
}

TEST_F(ReclaimTest, AnOrderGoesByTheCheapestWayFirst) {
  memory->set_frame_source(pool);
  memory->set_swap(swap);
  for (u64 page = 0; page < 40; ++page) put(page, Content(kPageSize));
  for (u64 page = 40; page < 140; ++page) put(page, text(page));
  for (u64 page = 140; page < 240; ++page) put(page, noise(page));
  Reclaimer reclaimer(*memory, 7);
  const ReclaimReport all = reclaimer.reclaim(order(10'000));
  EXPECT_EQ(all.frames[Way::kZero], Pages{40});
  EXPECT_EQ(in(PageState::kZero), 56u);
  EXPECT_EQ(all.end, ReclaimEnd::kNothingLeft);
  EXPECT_EQ(memory->usage().frames, Pages{0}) << "in the end all is zero or in swap";
  EXPECT_EQ(pool.free(), Pages{10'000});
  for (u64 page = 40; page < 140; ++page) EXPECT_EQ(get(page), text(page));
  for (u64 page = 140; page < 240; ++page) EXPECT_EQ(get(page), noise(page));
}

TEST_F(ReclaimTest, AnOrderTakesNoMoreThanABatchTooMuch) {
  memory->set_frame_source(pool);
  memory->set_swap(swap);
  for (u64 page = 0; page < kPages; ++page) put(page, noise(page));
  const Pages before = pool.free();
  Reclaimer reclaimer(*memory, 7);
  const Pages unused = memory->usage().unused;
  const ReclaimReport report = reclaimer.reclaim(order(unused.raw + 20));
  EXPECT_EQ(report.end, ReclaimEnd::kDone);
  EXPECT_GE(report.returned, unused + Pages{20});
  EXPECT_LE(report.returned, unused + Pages{20 + 80});
  EXPECT_EQ(pool.free(), before + report.returned);
}

TEST_F(ReclaimTest, IdlePagesGoBeforeUsedOnes) {
  memory->set_swap(swap);
  for (u64 page = 0; page < kPages; ++page) put(page, noise(page));
  Reclaimer reclaimer(*memory, 7);
  reclaimer.age({kPages});
  for (u64 page = 0; page < kPages; page += 2) get(page);
  reclaimer.reclaim(order(90));
  u64 used = 0, idle = 0;
  for (u64 page = 0; page < kPages; ++page) {
    if (memory->state(nth(page)) == PageState::kSwapped) ++(page % 2 == 0 ? used : idle);
  }
  EXPECT_EQ(used, 0u);
  EXPECT_GE(idle, 90u);
}

// As long as there are others; then they go too.
TEST_F(ReclaimTest, PagesThatAreUsedAgainOutliveThoseThatWereUsedOnce) {
  memory->set_swap(swap);
  for (u64 page = 0; page < kPages; ++page) put(page, noise(page));
  Reclaimer reclaimer(*memory, 7);
  prove(reclaimer, 2);
  reclaimer.reclaim(order(100));
  EXPECT_GE(in(PageState::kSwapped), 100u);
  for (u64 page = 0; page < kPages; page += 2) EXPECT_EQ(memory->state(nth(page)), PageState::kPrivate);
  EXPECT_EQ(reclaimer.reclaim(order(100)).end, ReclaimEnd::kDone);
  EXPECT_GE(in(PageState::kSwapped), 200u);
}

TEST_F(ReclaimTest, WhatWasPackedJustNowIsSwappedAfterWhatIsIdle) {
  memory->set_swap(swap);
  for (u64 page = 0; page < kPages; ++page) put(page, text(page));
  Reclaimer reclaimer(*memory, 7);
  prove(reclaimer, 1);
  for (int i = 0; i < 2; ++i) EXPECT_EQ(reclaimer.reclaim(order(60)).end, ReclaimEnd::kDone);
  EXPECT_EQ(swap.counts().written, Pages{0});
  EXPECT_GE(in(PageState::kCompressed), 120u);
}

// Those that are used within the second that an order lets pages show it are spared. Where this machine is so
// busy that they are not, nothing is shown, and it is done again.
TEST_F(ReclaimTest, AnOrderWaitsForUsedPagesToShowThatTheyAre) {
  memory->set_swap(swap);
  for (bool in_time = false; !in_time;) {
    for (u64 page = 0; page < kPages; ++page) put(page, noise(page));
    Reclaimer reclaimer(*memory, 7);
    reclaimer.age({kPages});
    const Nanos aged = os::monotonic_now();
    const Pages read_before = swap.counts().read;
    std::thread guest([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(200));
      for (u64 page = 0; page < kPages; page += 2) get(page);
      in_time = os::monotonic_now() - aged < Nanos{900'000'000};
    });
    reclaimer.reclaim(order(90));
    guest.join();
    if (!in_time) continue;
    EXPECT_EQ(swap.counts().read, read_before) << "none was taken that is used";
    for (u64 page = 0; page < kPages; page += 2) EXPECT_EQ(memory->state(nth(page)), PageState::kPrivate);
  }
}

TEST_F(ReclaimTest, AnOrderThatMayNotSwapTakesIdlePagesAndForgetsNoUseOfLate) {
  for (u64 page = 0; page < 100; ++page) put(page, text(page));
  const Ways gentle = Ways().with(Way::kZero).with(Way::kCompress);
  Reclaimer reclaimer(*memory, 7);
  reclaimer.age({kPages});
  get(3);
  std::this_thread::sleep_for(std::chrono::milliseconds(1100));
  EXPECT_GT(reclaimer.reclaim(order(40, gentle)).frames[Way::kCompress], Pages{30});
  EXPECT_EQ(memory->state(nth(3)), PageState::kPrivate);
  EXPECT_TRUE(memory->has_marks(nth(3), PageWord::kRecent));
}

TEST_F(ReclaimTest, ALateOrderSaysSo) {
  put(1, text(1));
  Reclaimer reclaimer(*memory, 7);
  EXPECT_EQ(reclaimer.reclaim({.wanted = {1}, .deadline = {0}}).end, ReclaimEnd::kDeadline);
  EXPECT_EQ(memory->state(nth(1)), PageState::kPrivate);
}

TEST_F(ReclaimTest, AnOrderThatCannotBeMetTellsWhatItGot) {
  for (u64 page = 0; page < 10; ++page) put(page, noise(page));
  Reclaimer reclaimer(*memory, 7);
  const ReclaimReport report = reclaimer.reclaim(order(5, Ways().with(Way::kZero).with(Way::kCompress)));
  EXPECT_EQ(report.end, ReclaimEnd::kNothingLeft);
  EXPECT_EQ(report.frames.total(), Pages{0});
}

TEST_F(ReclaimTest, FramesAreCountedAndComeBack) {
  memory->set_frame_source(pool);
  for (u64 page = 0; page < 100; ++page) put(page, text(page));
  const auto conserved = [&] {
    const Usage usage = memory->usage();
    return pool.free() + usage.frames + usage.unused;
  };
  EXPECT_EQ(memory->usage().frames, Pages{100});
  EXPECT_EQ(conserved(), Pages{10'000});
  evict(0, 50);
  EXPECT_EQ(conserved(), Pages{10'000});
  get(3);
  memory->store<u8>(word_at(4, 0), 1);
  EXPECT_EQ(conserved(), Pages{10'000});
  memory->discard(pages(0, 100));
  EXPECT_EQ(memory->usage().frames, Pages{0});
  EXPECT_EQ(conserved(), Pages{10'000});
  put(1, text(1));
  memory.reset();
  EXPECT_EQ(pool.free(), Pages{10'000}) << "with the VM all of it comes back";
}

TEST_F(ReclaimTest, AHartWaitsForAFrameWithoutHoldingUpTheOthers) {
  Pool one(Pages{1});
  auto small = GuestMemory::create(kBase, {8 * kPageSize}).take();
  small->set_frame_source(one);
  CachingHart first(*small), second(*small);
  first.enter();
  first.store(word_at(0, 0), 1);
  std::thread waiting([&] {
    second.enter();
    second.store(word_at(1, 0), 2);
    second.leave();
  });
  while (one.waits() == 0) std::this_thread::yield();
  EXPECT_EQ(first.load(word_at(0, 0)), 1u);
  first.leave();
  std::vector<Gpn> none;
  small->take_touched(pages(0, 8));
  small->begin_shrinking();  // nothing is kept: what is discarded goes to who waits
  small->discard(pages(0, 1));
  waiting.join();
  EXPECT_EQ(small->load<u64>(word_at(1, 0)), 2u);
}

TEST_F(ReclaimTest, WithoutAFrameToComeAnAccessFails) {
  Pool none(Pages{0});
  auto small = GuestMemory::create(kBase, {8 * kPageSize}).take();
  small->set_frame_source(none);
  none.close();
  EXPECT_FALSE(small->store<u64>(word_at(1, 0), 2));
  EXPECT_EQ(small->load<u64>(word_at(1, 0)), 0u) << "reading zeros needs none";
}

}  // namespace
}  // namespace cloister::memory
