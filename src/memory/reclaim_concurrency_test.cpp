// SPDX-License-Identifier: Apache-2.0
// Harts and devices at work on a memory of which everything is packed, swapped, shared and ballooned all the
// while, in random order, with fewer frames than pages. What must hold however it goes:
//
//   - Nothing is lost: each word has one writer, who knows what it last wrote and finds exactly that.
//   - What nobody writes stays as it was, wherever it has been.
//   - A vault's frame is not read after its last reference went back: the keeper fills it with rubbish then.
//   - Frames are conserved: pool + stock + held is what there was, and all of it comes back.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <thread>

#include "base/os/clock.h"
#include "base/random.h"
#include "memory/guest_memory.h"
#include "memory/reclaimer.h"
#include "memory/sampler.h"
#include "memory/testing_hart.h"
#include "memory/testing_host.h"

namespace cloister::memory {
namespace {

using namespace testing;

constexpr u64 kReclaimedPages = 120;
constexpr u64 kFrames = 70;
constexpr u64 kSlots = 12;
constexpr u64 kWriters = 6;  // harts and devices
constexpr u64 kRounds = 2500;

// What a page is made of. The last kind is the balloon's alone.
enum class Kind : u8 { kNoise, kAlike, kText, kBalloon };
constexpr Kind kind_of(u64 page) { return static_cast<Kind>(page % 4); }

// The word of a page that a writer owns; all others are never written again.
constexpr u64 own_index(u64 writer) { return 8 + writer * 40; }
bool is_owned(u64 index) { return index >= 8 && (index - 8) % 40 == 0 && (index - 8) / 40 < kWriters; }

u64 first_value(u64 page, u64 index) {
  if (kind_of(page) == Kind::kBalloon || is_owned(index)) return 0;
  if (kind_of(page) == Kind::kNoise) return Random(page * kWordsPerPage + index).next();
  return kind_of(page) == Kind::kAlike ? index / 16 : page + index / 16;
}

class ReclaimConcurrency : public ::testing::Test {
 protected:
  void SetUp() override {
    memory->set_frame_source(pool);
    memory->set_swap(*swap);
    memory->set_vault(keeper.vault(), keeper);
  }

  // Must go on beside a reclaimer: there are fewer frames than pages.
  void fill() {
    for (u64 page = 0; page < kReclaimedPages; ++page) {
      std::array<u64, kWordsPerPage> words;
      for (u64 i = 0; i < kWordsPerPage; ++i) words[i] = first_value(page, i);
      ASSERT_TRUE(memory->write(nth(page).address(), std::as_bytes(std::span(words))));
    }
  }

  u64 pick_page(Random& random) const {
    for (;;) {
      const u64 page = random.below(kReclaimedPages);
      if (kind_of(page) != Kind::kBalloon) return page;
    }
  }

  void hart(u64 writer) {
    Random random(seed + writer);
    std::array<u64, kReclaimedPages> mine{};
    CachingHart hart(*memory);
    hart.enter();
    for (u64 round = 0; round < kRounds; ++round) {
      const u64 page = pick_page(random);
      const GuestPhys own = word_at(page, own_index(writer));
      ASSERT_EQ(hart.load(own), mine[page]) << "page " << page;
      const u64 other = random.below(kWordsPerPage);
      if (!is_owned(other)) {
        ASSERT_EQ(hart.load(word_at(page, other)), first_value(page, other));
      }
      // Back to 0 now and then, so that pages become alike again.
      if (random.one_in(2)) hart.store(own, mine[page] = random.one_in(2) ? 0 : random.next());
      if (random.one_in(100)) {
        hart.leave();
        std::this_thread::yield();
        hart.enter();
      }
      hart.instruction_boundary();
    }
    hart.leave();
    for (u64 page = 0; page < kReclaimedPages; ++page) {
      if (kind_of(page) == Kind::kBalloon) continue;
      EXPECT_EQ(*memory->load<u64>(word_at(page, own_index(writer))), mine[page]);
    }
  }

  void device(u64 writer) {
    Random random(seed + writer);
    std::array<u64, kReclaimedPages> mine{};
    while (!stop) {
      const u64 page = pick_page(random);
      const GuestPhys own = word_at(page, own_index(writer));
      if (random.one_in(2)) {
        ASSERT_TRUE(memory->store<u64>(own, mine[page] = random.one_in(2) ? 0 : random.next()));
      }
      ASSERT_EQ(*memory->load<u64>(own), mine[page]);
      if (random.one_in(4)) read_pages(random.below(kReclaimedPages - 3), mine, writer);
    }
  }

  void read_pages(u64 first, const std::array<u64, kReclaimedPages>& mine, u64 writer) {
    u64 at = first * kWordsPerPage;
    const bool read = memory->with_pinned(
        nth(first).address(), {3 * kPageSize}, Access::kRead, [&](std::span<std::byte> run) {
          for (u64 offset = 0; offset < run.size(); offset += 8, ++at) {
            const u64 page = at / kWordsPerPage, index = at % kWordsPerPage;
            if (kind_of(page) == Kind::kBalloon) continue;
            const u64 value = std::atomic_ref<u64>(*reinterpret_cast<u64*>(run.data() + offset)).load();
            if (is_owned(index) && index != own_index(writer)) continue;
            EXPECT_EQ(value, is_owned(index) ? mine[page] : first_value(page, index)) << page << " " << index;
          }
          return true;
        });
    EXPECT_TRUE(read);
  }

  void ballooner() {
    Random random(seed + 100);
    while (!stop) {
      const u64 page = random.below(kReclaimedPages / 4) * 4 + 3;
      const Gpn pages[] = {nth(page)};
      ASSERT_TRUE(memory->write(pages[0].address(), memory->balloon_value()));
      if (random.one_in(2)) memory->take_balloon_pages(pages);
      std::vector<std::byte> content(kPageSize);
      ASSERT_TRUE(memory->read(pages[0].address(), content));
      ASSERT_TRUE(std::equal(content.begin(), content.end(), memory->balloon_value().begin()));
      const u64 value = random.next();
      ASSERT_TRUE(memory->store<u64>(word_at(page, 9), value));
      memory->take_balloon_pages(pages);
      ASSERT_EQ(*memory->load<u64>(word_at(page, 9)), value);
      ASSERT_EQ(*memory->load<u64>(word_at(page, 10)), 0u);
      if (random.one_in(3)) memory->discard(pages);
    }
  }

  std::vector<Gpn> some_pages(Random& random, u64 most) {
    std::vector<Gpn> pages;
    for (u64 i = random.below(most) + 1; i > 0; --i) pages.push_back(nth(random.below(kReclaimedPages)));
    return pages;
  }

  void packer() {
    Random random(seed + 101);
    std::vector<Gpn> left;
    while (!stop) {
      Ways ways = Ways::all();
      if (random.one_in(3)) ways = ways.without(Way::kCompress);
      memory->evict(some_pages(random, 40), ways, left);
      if (random.one_in(8)) memory->condense({20});
      if (random.one_in(4)) memory->take_touched(some_pages(random, 40));
      if (random.one_in(4)) memory->take_dirty(some_pages(random, 40));
      if (random.one_in(16)) memory->take_marks(some_pages(random, 40), PageWord::kRecent);
      left.clear();
    }
  }

  void swapper() {
    Random random(seed + 102);
    SwapOut out(*memory);
    while (!stop) {
      out.submit(some_pages(random, 80));
      if (random.one_in(2)) out.submit(memory->longest_packed(20));
      if (random.one_in(2)) continue;
      EXPECT_EQ(out.drain().trouble, SwapOut::Trouble::kNone);
    }
    out.drain();
  }

  // The daemon: takes a page's content into a free slot, and offers it to all that may be alike.
  void sharer() {
    Random random(seed + 103);
    while (!stop) {
      const u32 slot = static_cast<u32>(random.below(kSlots));
      if (keeper.references(slot) != 0) continue;
      std::fill_n(keeper.frame(slot), kPageSize, static_cast<std::byte>(random.next()));
      std::vector<std::byte> content(kPageSize);
      ASSERT_TRUE(memory->read(nth(random.below(kReclaimedPages / 4) * 4 + 1).address(), content));
      std::copy(content.begin(), content.end(), keeper.frame(slot));
      std::vector<ShareOffer> offers;
      for (const Gpn page : some_pages(random, 60)) offers.push_back({page, slot});
      for (std::size_t i = 0; i < offers.size(); ++i) keeper.add(slot);
      memory->share(offers);
      memory->hash(some_pages(random, 40));
    }
  }

  // While there is somebody who wants frames, somebody must free them.
  void orders() {
    Reclaimer reclaimer(*memory, seed + 104);
    while (!all_have_stopped) {
      reclaimer.reclaim({.wanted = {10}, .deadline = os::monotonic_now() + Nanos{3'000'000}});
      reclaimer.age({32});
    }
  }

  void expect_nothing_lost() {
    memory->check_invariants();
    const Usage usage = memory->usage();
    EXPECT_EQ(pool.free() + usage.frames + usage.unused, Pages{kFrames});
    EXPECT_EQ(keeper.all_references(), usage.in_state[static_cast<int>(PageState::kShared)].raw);
    std::vector<Gpn> pages;
    for (u64 i = 0; i < kReclaimedPages; ++i) pages.push_back(nth(i));
    memory->discard(pages);
    memory->begin_shrinking();
    memory->check_invariants();
    EXPECT_EQ(pool.free(), Pages{kFrames});
    EXPECT_EQ(swap->used(), Pages{0});
    EXPECT_EQ(keeper.all_references(), 0u);
    EXPECT_EQ(memory->host(), Bytes{0});
  }

  const u64 seed = chosen_seed();
  Pool pool{Pages{kFrames}};
  VaultKeeper keeper{Pages{kSlots}};
  std::unique_ptr<SwapFile> swap = make_swap({2 * kReclaimedPages});
  std::unique_ptr<GuestMemory> memory = GuestMemory::create(kBase, {kReclaimedPages * kPageSize}).take();
  std::atomic<bool> stop{false}, all_have_stopped{false};
};

TEST_F(ReclaimConcurrency, NothingIsLostWhileEverythingIsTaken) {
  std::thread daemon([&] { orders(); });
  fill();
  std::thread others[] = {std::thread([&] { device(0); }),   std::thread([&] { device(1); }),
                          std::thread([&] { ballooner(); }), std::thread([&] { packer(); }),
                          std::thread([&] { swapper(); }),   std::thread([&] { sharer(); })};
  std::thread harts[] = {std::thread([&] { hart(2); }), std::thread([&] { hart(3); }),
                         std::thread([&] { hart(4); })};
  for (std::thread& one : harts) one.join();
  stop = true;
  for (std::thread& one : others) one.join();
  all_have_stopped = true;
  daemon.join();
  expect_nothing_lost();
}

}  // namespace
}  // namespace cloister::memory
