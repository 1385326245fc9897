// SPDX-License-Identifier: Apache-2.0
#include "cell/housekeeper.h"

#include <gtest/gtest.h>

#include <atomic>
#include <numeric>
#include <optional>
#include <thread>

#include "base/os/clock.h"

namespace cloister::cell {
namespace {

using control::Way;

constexpr u64 kPages = 16'384;
constexpr u64 kFilled = 9000;
constexpr u64 kOwed = 4000;
constexpr GuestPhys kBase{0x8000'0000};

// A guest with memory in use, frames for no more than that, and a housekeeper.
class HousekeeperTest : public ::testing::Test {
 protected:
  void SetUp() override {
    memory->set_frame_source(lease);
    lease.granted(Pages{kFilled});
    for (u64 page = 0; page < kFilled; ++page) ASSERT_TRUE(memory->store<u64>(at(page), page + 1));
  }
  void TearDown() override {
    lease.close();
    if (guest.joinable()) guest.join();
    housekeeper.stop();
  }

  static GuestPhys at(u64 page) { return kBase + page * kPageSize; }
  // The guest's answer to being asked, and to being asked again.
  void answer_with(std::function<void()> first, std::function<void(Pages)> again = {}) {
    const auto ask = [this, first, again](Pages more, Nanos) {
      const bool asked_before = guest.joinable();
      if (asked_before && !again) return;
      if (asked_before) guest.join();
      guest = asked_before ? std::thread([again, more] { again(more); }) : std::thread(first);
    };
    housekeeper.set_guest({[] { return true; }, ask, [this] { return spent.load(); }});
  }
  void order(u64 seconds) {
    ASSERT_TRUE(housekeeper.start().ok());
    housekeeper.order({1, kOwed, control::kEveryWay, 0, seconds * 1'000'000'000, 0, 1});
    done.wait(false);
  }
  // Makes them balloon pages a piece at a time, as an application does.
  void inflate(u64 first, u64 count) {
    for (u64 end = first + count; first < end;) {
      std::vector<Gpn> piece;
      for (; first < end && piece.size() < 512; ++first) {
        if (!memory->write(at(first), memory->balloon_value())) return;  // there are no frames any more
        piece.push_back(gpn_of(at(first)));
      }
      (void)memory->take_balloon_pages(piece);
    }
  }
  u64 by(Way way) const { return answer.by_way[static_cast<u32>(way)]; }

  Lease lease{[] {}};  // the memory gives its frames back at its end
  std::unique_ptr<memory::GuestMemory> memory =
      memory::GuestMemory::create(kBase, {kPages * kPageSize}).take();
  std::atomic<bool> done{false}, spent{false};
  std::atomic<u64> looks{0};
  control::Done answer;
  Pages held;  // when the order was done
  std::thread guest;
  Housekeeper housekeeper{*memory, lease,
                          [this](const control::Done& end) {
                            answer = end;
                            held = lease.figures().held;
                            done = true;
                            done.notify_all();
                          },
                          [this] {
                            looks.fetch_add(1);
                            return Nanos{};
                          }};
};

// The guest's kernel gives its balloon pages that have no frame before others: it must get past them.
TEST_F(HousekeeperTest, ABalloonThatGrowsWhereThereAreNoFramesIsStillWhatGivesMost) {
  answer_with([this] {
    inflate(kPages - 3072, 3072);
    inflate(0, 4608);
  });
  order(60);
  lease.granted(Pages{kOwed});  // what it goes on to write may have been packed
  guest.join();
  EXPECT_GE(by(Way::kBalloon), kOwed - 2048);
  EXPECT_LE(by(Way::kCompression), 2048u);
  EXPECT_LE(held, Pages{kFilled - kOwed});
  memory->check_invariants();
}

// What it gave first had no frames: asked for the same once, it would think that it gave all.
TEST_F(HousekeeperTest, AGuestThatGaveWhatHadNoFramesIsAskedAgainForTheRest) {
  std::atomic<u64> asked{1};
  answer_with([this] { inflate(kFilled + 1000, kOwed); },
              [&](Pages more) { inflate(1000 * (asked++ - 1), more.raw); });
  order(3600);
  EXPECT_GT(asked, 1u);
  EXPECT_GE(by(Way::kBalloon), kOwed - 2048);
  EXPECT_LE(held, Pages{kFilled - kOwed});
}

TEST_F(HousekeeperTest, AGuestThatTakesInsteadOfGivingNeitherStandsStillNorKeepsAnOrderFromItsEnd) {
  std::atomic<u64> taken{0};
  answer_with([&] {
    for (u64 page = kFilled; page < kPages && memory->store<u64>(at(page), 1); ++page) ++taken;
  });
  order(4);
  EXPECT_EQ(lease.owed(), Pages{});
  EXPECT_LE(held, Pages{kFilled - kOwed});
  EXPECT_GT(taken, 1000u);
  EXPECT_GT(by(Way::kCompression), 1000u);
}

TEST_F(HousekeeperTest, WhatASilentGuestDoesNotGiveIsTakenByOtherWays) {
  answer_with([] {});
  order(4);
  EXPECT_LE(held, Pages{kFilled - kOwed});
  EXPECT_EQ(by(Way::kBalloon), 0u);
}

// It is neither asked again nor waited for, though the order has an hour.
TEST_F(HousekeeperTest, WhereAGuestSaysThatItHasNoMoreTheRestIsTakenAtOnce) {
  std::atomic<u64> again{0};
  spent = true;
  answer_with([] {}, [&](Pages) { ++again; });
  order(3600);
  EXPECT_EQ(again, 0u);
  EXPECT_GT(by(Way::kCompression), 1000u);
  EXPECT_LE(held, Pages{kFilled - kOwed});
}

// As the search for like pages does.
TEST_F(HousekeeperTest, WhoeverKeepsItBusyDoesNotKeepItFromTellingIdlePages) {
  control::Settings settings;
  settings.period_nanos = 200'000'000;
  housekeeper.sample_as(settings);
  ASSERT_TRUE(housekeeper.start().ok());
  ASSERT_TRUE(memory->has_marks(gpn_of(at(0)), memory::PageWord::kRecent));
  while (memory->has_marks(gpn_of(at(0)), memory::PageWord::kRecent)) {
    (void)housekeeper.post([] {});
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

// At a guest that hardly runs it looks each twelve seconds, but when it is told of news.
TEST_F(HousekeeperTest, WhenACalmGuestBeginsToDoSomethingItLooksAtOnce) {
  ASSERT_TRUE(housekeeper.start().ok());
  while (looks == 0) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  const Nanos begun = os::monotonic_now();
  while (looks == 1) {
    housekeeper.look_soon();
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_LT(os::monotonic_now() - begun, Nanos{8'000'000'000});
}

}  // namespace
}  // namespace cloister::cell
