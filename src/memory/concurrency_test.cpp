// SPDX-License-Identifier: Apache-2.0
// Many harts, devices and a reclaimer at once on a small memory. What must hold however they interleave:
//
//   - Nobody sees a value that nobody wrote to that page: each word written names its own address and writer.
//   - A counter never goes back and loses nothing: a stale translation would show an older value.
//   - The page of zeros stays zero, and what is pinned keeps its content.
//   - At the end the words, the counts and the memory file agree, and all of it can be given back.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "base/random.h"
#include "memory/guest_memory.h"
#include "memory/testing_hart.h"

namespace cloister::memory {
namespace {

using namespace testing;

constexpr u64 kPages = 48;

class Concurrency : public ::testing::Test {
 protected:
  static constexpr u64 kRounds = 20'000;

  void hart(u64 seed) {
    Random random(seed);
    CachingHart hart(*memory);
    hart.enter();
    for (u64 round = 1; round <= kRounds; ++round) {
      const u64 page = random.below(kPages), index = random.below(4) * (kWordsPerPage / 4);
      if (random.one_in(3)) {
        hart.store(word_at(page, index), stamp(page, index, round));
      } else {
        ASSERT_TRUE(is_stamp_of(hart.load(word_at(page, index)), page, index));
      }
      if (random.one_in(200)) {
        hart.leave();
        if (random.one_in(4)) std::this_thread::yield();
        hart.enter();
      }
      hart.instruction_boundary();
    }
    hart.leave();
  }

  enum class Marks { kLeave, kTake };

  void reclaimer(u64 seed, Marks marks) {
    Random random(seed);
    while (!stop) {
      std::vector<Gpn> pages;
      for (u64 i = random.below(12) + 1; i > 0; --i) pages.push_back(nth(random.below(kPages)));
      memory->discard(pages);
      if (marks == Marks::kLeave) continue;
      if (random.one_in(4)) memory->take_touched(pages);
      if (random.one_in(4)) memory->take_dirty(pages);
    }
  }

  void device(u64 seed) {
    Random random(seed);
    for (u64 round = 1; !stop; ++round) {
      const u64 page = random.below(kPages - 3), index = random.below(4) * (kWordsPerPage / 4);
      if (random.one_in(2)) {
        memory->store(word_at(page, index), stamp(page, index, round));
      } else if (random.one_in(2)) {
        ASSERT_TRUE(is_stamp_of(*memory->load<u64>(word_at(page, index)), page, index));
      } else {
        pinned_read(page);
      }
    }
  }

  // Each word of the run belongs where it is, though the run may span zero and private pages.
  void pinned_read(u64 first) {
    u64 at = first * kWordsPerPage;
    memory->with_pinned(nth(first).address(), {3 * kPageSize}, Access::kRead, [&](std::span<std::byte> run) {
      for (u64 offset = 0; offset < run.size(); offset += 8, ++at) {
        const u64 value = std::atomic_ref<u64>(*reinterpret_cast<u64*>(run.data() + offset)).load();
        EXPECT_TRUE(is_stamp_of(value, at / kWordsPerPage, at % kWordsPerPage));
      }
      return true;
    });
  }

  void expect_all_can_be_given_back() {
    memory->check_invariants();
    std::vector<Gpn> pages;
    for (u64 i = 0; i < kPages; ++i) pages.push_back(nth(i));
    memory->discard(pages);
    memory->check_invariants();
    EXPECT_EQ(memory->host(), Bytes{0});
    std::vector<std::byte> content(kPages * kPageSize, std::byte{1});
    EXPECT_TRUE(memory->read(kBase, content));
    EXPECT_EQ(content, std::vector<std::byte>(content.size())) << "the page of zeros was written";
  }

  std::unique_ptr<GuestMemory> memory = GuestMemory::create(kBase, {kPages * kPageSize}).take();
  std::atomic<bool> stop{false};
};

TEST_F(Concurrency, NobodyEverReadsForeignContent) {
  std::thread reclaim([&] { reclaimer(1, Marks::kTake); });
  std::thread devices[] = {std::thread([&] { device(2); }), std::thread([&] { device(3); })};
  std::thread harts[] = {std::thread([&] { hart(4); }), std::thread([&] { hart(5); }),
                         std::thread([&] { hart(6); })};
  for (std::thread& one : harts) one.join();
  stop = true;
  reclaim.join();
  for (std::thread& one : devices) one.join();
  expect_all_can_be_given_back();
}

// Counters that nobody discards, while marks are taken and everybody reads zero pages first: an addition that
// went to a page that was taken away, or was made through a stale translation, would be missing.
TEST_F(Concurrency, NoAdditionIsLost) {
  constexpr u64 kEach = 2000;
  const auto adder = [&] {
    CachingHart hart(*memory);
    hart.enter();
    for (u64 round = 0; round < kEach; ++round) {
      for (u64 page = 0; page < kPages; ++page) {
        const u64 before = hart.load(word_at(page, 0));
        ASSERT_GE(hart.add(word_at(page, 0), 1), before);
        hart.instruction_boundary();
      }
    }
    hart.leave();
  };
  std::vector<Gpn> pages;
  for (u64 i = 0; i < kPages; ++i) pages.push_back(nth(i));
  std::thread sampler([&] {
    while (!stop) {
      memory->take_touched(pages);
      memory->take_dirty(pages);
    }
  });
  std::thread harts[] = {std::thread(adder), std::thread(adder), std::thread(adder)};
  for (std::thread& one : harts) one.join();
  stop = true;
  sampler.join();
  for (u64 page = 0; page < kPages; ++page) EXPECT_EQ(memory->load<u64>(word_at(page, 0)), 3 * kEach) << page;
  expect_all_can_be_given_back();
}

// A copy of all that was dirty, taken again and again while harts write: the last copy after they stopped,
// with the pages dirty since, equals the memory. This is what migration does.
TEST_F(Concurrency, CopyingWhatIsDirtyCatchesUpWithTheMemory) {
  std::vector<std::byte> copy(kPages * kPageSize);
  std::vector<Gpn> pages;
  for (u64 i = 0; i < kPages; ++i) pages.push_back(nth(i));
  const auto copy_dirty = [&] {
    const std::vector<bool> dirty = memory->take_dirty(pages);
    for (u64 i = 0; i < kPages; ++i) {
      if (dirty[i]) memory->read(nth(i).address(), std::span(copy).subspan(i * kPageSize, kPageSize));
    }
  };
  std::thread harts[] = {std::thread([&] { hart(7); }), std::thread([&] { hart(8); })};
  std::thread devices([&] { device(9); });
  std::thread reclaim([&] { reclaimer(10, Marks::kLeave); });
  for (int i = 0; i < 100; ++i) copy_dirty();
  for (std::thread& one : harts) one.join();
  stop = true;
  devices.join();
  reclaim.join();
  copy_dirty();
  std::vector<std::byte> content(copy.size());
  EXPECT_TRUE(memory->read(kBase, content));
  EXPECT_EQ(copy, content);
}

// One thread pins pages and writes them; their content must stand still while everybody else may only
// discard.
TEST_F(Concurrency, PinnedPagesKeepTheirContentAgainstDiscard) {
  std::thread reclaim([&] { reclaimer(11, Marks::kTake); });
  Random random(12);
  for (u64 round = 0; round < 500; ++round) {
    const u64 first = random.below(kPages - 4);
    memory->with_pinned(nth(first).address(), {4 * kPageSize}, Access::kWrite, [&](std::span<std::byte> run) {
      std::fill(run.begin(), run.end(), static_cast<std::byte>(round));
      std::this_thread::yield();
      for (u64 i = 0; i < run.size(); i += 512) EXPECT_EQ(run[i], static_cast<std::byte>(round));
      return true;
    });
  }
  stop = true;
  reclaim.join();
  expect_all_can_be_given_back();
}

}  // namespace
}  // namespace cloister::memory
