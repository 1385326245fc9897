// SPDX-License-Identifier: Apache-2.0
#include "cell/housekeeper.h"

#include <gtest/gtest.h>

#include <atomic>
#include <numeric>
#include <optional>
#include <thread>

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
  // What `work` does is the guest's answer to being asked.
  void answer_with(std::function<void()> work) {
    housekeeper.set_guest({[] { return true; }, [this, work](Pages, Nanos) { guest = std::thread(work); }});
  }
  void order(u64 seconds) {
    ASSERT_TRUE(housekeeper.start().ok());
    const u32 ways = control::bit(Way::kZero) | control::bit(Way::kBalloon) | control::bit(Way::kCompression);
    housekeeper.order({1, kOwed, ways, 0, seconds * 1'000'000'000, 0, 1});
    done.wait(false);
  }
  // Makes them balloon pages, as an application does. False: there are no frames any more.
  bool inflate(u64 first, u64 count) {
    std::vector<Gpn> pages;
    for (u64 page = first; page < first + count; ++page) {
      if (!memory->write(at(page), memory->balloon_value())) return false;
      pages.push_back(gpn_of(at(page)));
    }
    (void)memory->take_balloon_pages(pages);
    return true;
  }
  u64 by(Way way) const { return answer.by_way[static_cast<u32>(way)]; }

  std::unique_ptr<memory::GuestMemory> memory =
      memory::GuestMemory::create(kBase, {kPages * kPageSize}).take();
  Lease lease{[] {}};
  std::atomic<bool> done{false};
  control::Done answer;
  std::thread guest;
  Housekeeper housekeeper{*memory, lease,
                          [this](const control::Done& end) {
                            answer = end;
                            done = true;
                            done.notify_all();
                          },
                          [] { return Nanos{}; }};
};

// The guest's kernel gives its balloon pages that have no frame before others: it must get past them.
TEST_F(HousekeeperTest, ABalloonThatGrowsWhereThereAreNoFramesIsStillWhatGivesMost) {
  answer_with([this] {
    for (u64 page = kPages - 3072; page < kPages; page += 512) inflate(page, 512);
    for (u64 page = 0; page < 4608; page += 512) inflate(page, 512);
  });
  order(60);
  guest.join();
  EXPECT_GE(by(Way::kBalloon), kOwed - 1024);
  EXPECT_LE(by(Way::kCompression), 2048u);
  EXPECT_LE(lease.figures().held, Pages{kFilled - kOwed});
  memory->check_invariants();
}

TEST_F(HousekeeperTest, AGuestThatTakesInsteadOfGivingNeitherStandsStillNorKeepsAnOrderFromItsEnd) {
  std::atomic<u64> taken{0};
  answer_with([&] {
    for (u64 page = kFilled; page < kPages && memory->store<u64>(at(page), 1); ++page) ++taken;
  });
  order(4);
  EXPECT_EQ(lease.owed(), Pages{});
  EXPECT_LE(lease.figures().held, Pages{kFilled - kOwed});
  EXPECT_GT(taken, 1000u);
  EXPECT_GT(by(Way::kCompression), 1000u);
}

TEST_F(HousekeeperTest, WhatASilentGuestDoesNotGiveIsTakenByOtherWays) {
  answer_with([] {});
  order(1);
  EXPECT_LE(lease.figures().held, Pages{kFilled - kOwed});
  EXPECT_EQ(by(Way::kBalloon), 0u);
}

}  // namespace
}  // namespace cloister::cell
