// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <thread>
#include <vector>

#include "memory/guest_memory.h"
#include "memory/testing_hart.h"
#include "memory/testing_host.h"

namespace cloister::memory {
namespace {

using namespace testing;
using Content = std::vector<std::byte>;
using Answers = std::vector<BalloonAnswer>;
using enum BalloonAnswer;

class BalloonTest : public ::testing::Test {
 protected:
  static constexpr u64 kPages = 1024;

  ~BalloonTest() override { memory->check_invariants(); }

  static std::vector<Gpn> pages(u64 first, u64 count) {
    std::vector<Gpn> result;
    for (u64 i = 0; i < count; ++i) result.push_back(nth(first + i));
    return result;
  }
  Content value() const { return {memory->balloon_value().begin(), memory->balloon_value().end()}; }
  void put(u64 page, const Content& content) { ASSERT_TRUE(memory->write(nth(page).address(), content)); }
  Content get(u64 page) {
    Content content(kPageSize);
    EXPECT_TRUE(memory->read(nth(page).address(), content));
    return content;
  }
  BalloonAnswer take(u64 page) { return memory->take_balloon_pages(pages(page, 1))[0]; }

  Pool pool{Pages{10'000}};
  std::unique_ptr<SwapFile> swap = make_swap(Pages{kPages});
  std::unique_ptr<GuestMemory> memory = GuestMemory::create(kBase, {kPages * kPageSize}).take();
};

TEST_F(BalloonTest, BalloonPagesReadAsTheValueAndAWriteGetsAFrame) {
  put(1, value());
  put(2, Content(kPageSize, std::byte{7}));
  EXPECT_EQ(memory->take_balloon_pages(pages(0, 4)), (Answers{kOther, kTaken, kOther, kOther}));
  EXPECT_EQ(memory->usage().in(PageState::kBalloonValue), Pages{1});
  EXPECT_EQ(memory->host(), Bytes{kPageSize});
  EXPECT_EQ(get(1), value());
  u64 first = 0;
  std::memcpy(&first, value().data(), sizeof first);
  CachingHart hart(*memory);
  hart.enter();
  EXPECT_EQ(hart.load(word_at(1, 0)), first);
  hart.store(word_at(1, 100), 7);
  EXPECT_EQ(hart.load(word_at(1, 100)), 7u);
  EXPECT_EQ(hart.load(word_at(1, 0)), first);
  hart.leave();
  EXPECT_EQ(memory->state(nth(1)), PageState::kPrivate);
}

TEST_F(BalloonTest, AForgedValueIsRefused) {
  Content forged = value();
  forged.back() = std::byte{1};
  put(1, forged);
  EXPECT_EQ(take(1), kOther);
  EXPECT_EQ(get(1), forged);
}

TEST_F(BalloonTest, EachVmHasABalloonValueOfItsOwn) {
  const auto other = GuestMemory::create(kBase, {kPageSize}).take();
  EXPECT_FALSE(std::equal(other->balloon_value().begin(), other->balloon_value().end(),
                          memory->balloon_value().begin()));
}

TEST_F(BalloonTest, APageGivenTwiceIsGivenOnce) {
  put(1, value());
  EXPECT_EQ(memory->take_balloon_pages(std::vector<Gpn>{nth(1), nth(1)}), (Answers{kTaken, kTaken}));
  EXPECT_EQ(take(1), kTaken);
  EXPECT_EQ(memory->usage().in(PageState::kBalloonValue), Pages{1});
}

TEST_F(BalloonTest, WhatADeviceUsesIsBusyAndWhatIsNoMemoryIsNot) {
  put(1, value());
  memory->with_pinned(nth(1).address(), {8}, Access::kRead, [&](auto) {
    EXPECT_EQ(take(1), kBusy);
    return true;
  });
  EXPECT_EQ(take(1), kTaken);
  EXPECT_EQ(take(kPages), kNoMemory);
  EXPECT_EQ(memory->take_balloon_pages(std::vector<Gpn>{{0}, {~u64{0}}}), (Answers{kNoMemory, kNoMemory}));
}

TEST_F(BalloonTest, TwoMebibytesAndMoreGoInOneCall) {
  for (u64 page = 0; page < 700; ++page) put(page, value());
  EXPECT_EQ(memory->take_balloon_pages(pages(0, 700)), Answers(700, kTaken));
  EXPECT_EQ(memory->host(), Bytes{0});
}

// Packing leaves a page of the value alone only when it may take it as such.
TEST_F(BalloonTest, PagesThatWerePackedMeanwhileAreTakenToo) {
  put(1, value());
  put(2, Content(kPageSize, std::byte{7}));
  std::vector<Gpn> left;
  memory->evict(pages(1, 2), Ways().with(Way::kCompress), left);
  ASSERT_EQ(memory->usage().in(PageState::kCompressed), Pages{2});
  EXPECT_EQ(memory->take_balloon_pages(pages(1, 2)), (Answers{kTaken, kOther}));
  EXPECT_EQ(get(1), value());
  EXPECT_EQ(get(2), Content(kPageSize, std::byte{7}));
  EXPECT_EQ(memory->usage().in(PageState::kCompressed), Pages{1});
}

TEST_F(BalloonTest, FramesOfTheBalloonAreTheSourcesAgain) {
  memory->set_frame_source(pool);
  for (u64 page = 0; page < 1000; ++page) put(page, value());
  memory->take_balloon_pages(pages(0, 1000));
  const auto usage = memory->usage();
  EXPECT_EQ(usage.frames, Pages{0});
  EXPECT_EQ(pool.free() + usage.unused, Pages{10'000});
  memory.reset();
  memory = GuestMemory::create(kBase, {kPageSize}).take();
}

// Pages between them that have no frame do not make many holes of one.
TEST_F(BalloonTest, NeighboursThatWereTakenBeforeAreNoHindrance) {
  for (u64 page = 0; page < 300; ++page) put(page, value());
  for (u64 page = 0; page < 300; page += 3) EXPECT_EQ(take(page), kTaken);
  EXPECT_EQ(memory->discard(pages(0, 300)), Pages{300});
  EXPECT_EQ(memory->host(), Bytes{0});
  EXPECT_EQ(get(3), Content(kPageSize));
}

// -- Writing the value and taking it in one ----------------------------------------------------------------

class FillTest : public BalloonTest {
 protected:
  Answers fill(std::span<const Gpn> wanted) {
    return memory->end_filling(wanted, memory->begin_filling(wanted));
  }
};

TEST_F(FillTest, WhateverAPageHeldItHoldsTheValueThenAndNoFrame) {
  memory->set_swap(*swap);
  std::vector<Gpn> left;
  for (const u64 page : {1u, 2u, 3u}) put(page, Content(kPageSize, std::byte{7}));
  memory->evict(pages(2, 1), Ways().with(Way::kCompress), left);
  put(4, value());
  ASSERT_EQ(take(4), kTaken);
  ASSERT_TRUE(memory->show_condition(nth(5)));
  EXPECT_EQ(fill(pages(0, 6)), Answers(6, kTaken));
  EXPECT_EQ(memory->usage().in(PageState::kBalloonValue), Pages{6});
  EXPECT_EQ(memory->host(), Bytes{0});
  for (u64 page = 0; page < 6; ++page) EXPECT_EQ(get(page), value()) << page;
  EXPECT_EQ(get(6), Content(kPageSize));
  EXPECT_EQ(memory->take_dirty(pages(0, 1)), std::vector<bool>{true}) << "as a store";
}

TEST_F(FillTest, NoFrameIsAskedFor) {
  memory->set_frame_source(pool);
  EXPECT_EQ(fill(pages(0, 512)), Answers(512, kTaken));
  EXPECT_EQ(pool.free(), Pages{10'000});
}

TEST_F(FillTest, WhatIsNotTakenIsAsItWas) {
  put(1, Content(kPageSize, std::byte{7}));
  memory->with_pinned(nth(1).address(), {8}, Access::kRead, [&](auto) {
    EXPECT_EQ(fill(std::vector<Gpn>{nth(0), nth(1), nth(kPages), {~u64{0}}, nth(0)}),
              (Answers{kTaken, kBusy, kNoMemory, kNoMemory, kTaken}));
    return true;
  });
  EXPECT_EQ(get(1), Content(kPageSize, std::byte{7}));
}

// From the beginning on the pages are the filler's: another's store comes after it.
TEST_F(FillTest, AStoreDuringItComesAfterIt) {
  put(1, Content(kPageSize, std::byte{7}));
  CachingHart hart(*memory);
  auto ours = memory->begin_filling(pages(1, 1));
  std::thread other([&] {
    hart.enter();
    hart.store(word_at(1, 100), 9);
    hart.leave();
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_EQ(memory->end_filling(pages(1, 1), std::move(ours)), Answers{kTaken});
  other.join();
  Content wanted = value();
  wanted[800] = std::byte{9};
  EXPECT_EQ(get(1), wanted);
}

// -- The condition page ------------------------------------------------------------------------------------

cloister_condition record_of(u64 number) {
  cloister_condition record{};
  record.version = CLOISTER_ABI_VERSION;
  record.level = static_cast<u32>(number % 4);
  record.changes = record.configured = record.target = record.deadline = number;
  return record;
}

TEST_F(BalloonTest, AConditionPageShowsWhatIsWrittenLater) {
  put(1, Content(kPageSize, std::byte{7}));
  ASSERT_TRUE(memory->show_condition(nth(1)));
  ASSERT_TRUE(memory->show_condition(nth(5))) << "a page that was never touched";
  EXPECT_EQ(memory->usage().in(PageState::kCondition), Pages{2});
  EXPECT_EQ(memory->host(), Bytes{0});
  CachingHart hart(*memory);
  hart.enter();
  EXPECT_EQ(hart.load(word_at(1, 2)), 0u);
  memory->condition().write(record_of(41));
  EXPECT_EQ(hart.load(word_at(1, 2)), 41u);
  EXPECT_EQ(hart.load(word_at(5, 2)), 41u);
  EXPECT_EQ(hart.load(word_at(1, 0)) % 2, 0u);
  hart.leave();
  EXPECT_EQ(memory->load<u64>(word_at(5, 2)), 41u);
}

TEST_F(BalloonTest, AWriteToAConditionPageMakesItAPrivateCopy) {
  memory->condition().write(record_of(41));
  ASSERT_TRUE(memory->show_condition(nth(1)));
  ASSERT_TRUE(memory->store<u64>(word_at(1, 100), 9));
  memory->condition().write(record_of(42));
  EXPECT_EQ(memory->state(nth(1)), PageState::kPrivate);
  EXPECT_EQ(memory->load<u64>(word_at(1, 2)), 41u);
  EXPECT_EQ(memory->load<u64>(word_at(1, 100)), 9u);
  EXPECT_EQ(memory->load<u64>(word_at(5, 2)), 0u) << "and other pages have nothing of it";
  ASSERT_TRUE(memory->show_condition(nth(1)));
  EXPECT_EQ(memory->load<u64>(word_at(1, 2)), 42u);
  EXPECT_EQ(memory->load<u64>(word_at(1, 100)), 0u);
}

TEST_F(BalloonTest, AConditionPageThatIsDiscardedReadsAsZeros) {
  memory->condition().write(record_of(41));
  ASSERT_TRUE(memory->show_condition(nth(1)));
  EXPECT_EQ(memory->discard(pages(1, 1)), Pages{1});
  EXPECT_EQ(get(1), Content(kPageSize));
}

TEST_F(BalloonTest, APinnedPageOrNoPageDoesNotShowTheCondition) {
  put(1, value());
  memory->with_pinned(nth(1).address(), {8}, Access::kRead, [&](auto) {
    EXPECT_FALSE(memory->show_condition(nth(1)));
    return true;
  });
  EXPECT_FALSE(memory->show_condition(nth(kPages)));
  EXPECT_TRUE(memory->show_condition(nth(1)));
  EXPECT_TRUE(memory->show_condition(nth(1))) << "it does already";
}

TEST_F(BalloonTest, PackedSwappedAndBalloonPagesShowItToo) {
  memory->set_swap(*swap);
  put(1, value());
  put(2, Content(kPageSize, std::byte{7}));
  std::vector<Gpn> left;
  memory->evict(pages(1, 2), Ways::all(), left);
  for (const u64 page : {1u, 2u}) EXPECT_TRUE(memory->show_condition(nth(page)));
  EXPECT_EQ(memory->usage().in(PageState::kCondition), Pages{2});
}

}  // namespace
}  // namespace cloister::memory
