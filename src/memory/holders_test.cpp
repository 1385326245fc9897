// SPDX-License-Identifier: Apache-2.0
#include "memory/holders.h"

#include <gtest/gtest.h>

#include <thread>

namespace cloister::memory {
namespace {

// A hart that runs on a thread of its own and comes to a safe point only when it was asked to.
class RunningHart : public TlbHolder {
 public:
  explicit RunningHart(Holders& holders)
      : holders_(holders), id_(holders.attach(*this)), thread_([this] { run(); }) {
    while (!running) std::this_thread::yield();
  }
  ~RunningHart() override {
    stop = true;
    thread_.join();
    holders_.detach(id_);
  }
  void ask_for_safe_point() override { asked = true; }
  void forget(const PageSet& pages) override {
    ++forgot;
    all = all || pages.is_all();
    last = pages;
  }

  std::atomic<bool> running{false}, stop{false}, asked{false};
  std::atomic<int> forgot{0};
  bool all = false;
  PageSet last;

 private:
  void run() {
    holders_.enter(id_);
    running = true;
    while (!stop) {
      if (asked.exchange(false)) holders_.safe_point(id_);
    }
    holders_.leave(id_);
  }

  Holders& holders_;
  const Holders::Id id_;
  std::thread thread_;
};

class ParkedHart : public TlbHolder {
 public:
  explicit ParkedHart(Holders& holders) : holders_(holders), id(holders.attach(*this)) {}
  ~ParkedHart() override { holders_.detach(id); }
  void ask_for_safe_point() override { ++asked; }
  void forget(const PageSet& pages) override { told.push_back(pages); }

 private:
  Holders& holders_;

 public:
  const Holders::Id id;
  int asked = 0;
  std::vector<PageSet> told;
};

const Gpn kPage{7};

TEST(Holders, ARunningHartHasForgottenThePageWhenTheShootdownReturns) {
  Holders holders;
  RunningHart hart(holders);
  for (int i = 1; i <= 100; ++i) {
    holders.shoot_down(std::array{kPage});
    ASSERT_EQ(hart.forgot, i);
  }
  EXPECT_TRUE(hart.last.contains(kPage));
  EXPECT_FALSE(hart.last.contains({8}));
}

TEST(Holders, AParkedHartIsNeitherAskedNorWaitedFor) {
  Holders holders;
  ParkedHart hart(holders);
  holders.shoot_down(std::array{kPage});
  holders.shoot_down(std::array{Gpn{9}});
  EXPECT_EQ(hart.asked, 0);
  EXPECT_TRUE(hart.told.empty());
  holders.enter(hart.id);
  ASSERT_EQ(hart.told.size(), 1u) << "both in one";
  EXPECT_TRUE(hart.told[0].contains(kPage));
  EXPECT_TRUE(hart.told[0].contains({9}));
  holders.leave(hart.id);
  holders.enter(hart.id);
  EXPECT_EQ(hart.told.size(), 1u) << "once";
  holders.leave(hart.id);
}

TEST(Holders, ALongParkedHartIsToldToForgetAllInsteadOfALongList) {
  Holders holders;
  ParkedHart hart(holders);
  for (u64 i = 0; i < 10'000; ++i) holders.shoot_down(std::array{Gpn{i}});
  holders.enter(hart.id);
  ASSERT_EQ(hart.told.size(), 1u);
  EXPECT_TRUE(hart.told[0].is_all());
  holders.leave(hart.id);
}

TEST(Holders, ASlotThatIsTakenAgainBeginsWithAnEmptyMailbox) {
  Holders holders;
  {
    ParkedHart first(holders);
    holders.shoot_down(std::array{kPage});
  }
  ParkedHart second(holders);
  holders.enter(second.id);
  EXPECT_TRUE(second.told.empty());
  holders.leave(second.id);
}

TEST(Holders, TwoHartsThatShootAtEachOtherBothGoOn) {
  Holders holders;
  const auto hart = [&] {
    ParkedHart self(holders);
    holders.enter(self.id);
    for (u64 i = 0; i < 2000; ++i) holders.shoot_down(std::array{Gpn{i}});
    holders.leave(self.id);
  };
  std::thread first(hart), second(hart);
  hart();
  first.join();
  second.join();
}

TEST(Holders, AWaitParksTheHartsOfItsThreadUntilItIsOver) {
  Holders holders;
  std::atomic<bool> ready{false};
  std::atomic<bool> open{false};
  std::thread waiter([&] {
    ParkedHart hart(holders);
    holders.enter(hart.id);
    ready = true;
    holders.wait_until([&] { return open.load(); });
    EXPECT_TRUE(holders.entered_here(hart.id));
    EXPECT_EQ(hart.told.size(), 1u) << "what came during the wait";
    holders.leave(hart.id);
  });
  while (!ready) std::this_thread::yield();
  holders.shoot_down(std::array{kPage});
  open = true;
  holders.wake();
  waiter.join();
}

}  // namespace
}  // namespace cloister::memory
