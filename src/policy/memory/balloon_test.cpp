// SPDX-License-Identifier: Apache-2.0
#include "policy/memory/balloon.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace cloister::policy::memory {
namespace {

constexpr Units kConfigured{100'000};
constexpr Nanos kOneSecond{1'000'000'000};
constexpr BalloonSigns kCalm{};

BalloonSigns pressed() {
  BalloonSigns signs;
  signs.pressure = 2000;
  return signs;
}
Nanos at(u64 seconds) { return {seconds * kOneSecond.raw}; }

std::vector<Units> share(u64 total, std::vector<BalloonApplication> applications) {
  return share_balloon({total}, applications);
}

TEST(ShareBalloon, EachGetsItsPartByWhatItCouldGive) {
  EXPECT_EQ(share(300, {{{1000}, false}, {{2000}, false}}), (std::vector<Units>{{100}, {200}}));
  EXPECT_TRUE(share(300, {}).empty());
  EXPECT_EQ(share(300, {{{0}, false}}), (std::vector<Units>{{0}}));
}

TEST(ShareBalloon, OneUnderPressureCountsAQuarter) {
  EXPECT_EQ(share(500, {{{4000}, true}, {{4000}, false}}), (std::vector<Units>{{100}, {400}}));
}

TEST(ShareBalloon, NobodyIsAskedForMoreThanItCanAndOthersTakeTheRest) {
  EXPECT_EQ(share(3000, {{{100}, false}, {{5000}, true}, {{200}, false}}),
            (std::vector<Units>{{100}, {2700}, {200}}));
  EXPECT_EQ(share(1000, {{{100}, false}, {{200}, true}}), (std::vector<Units>{{100}, {200}}));
}

TEST(ShareBalloon, AnyPartsAreWithinTheirBounds) {
  Random random(7);
  for (int round = 0; round < 1000; ++round) {
    std::vector<BalloonApplication> all(random.below(8));
    u64 most = 0;
    for (auto& one : all) one = {{random.below(10'000)}, random.one_in(3)};
    for (const auto& one : all) most += one.most.raw;
    const u64 total = random.below(30'000);
    const auto parts = share(total, all);
    u64 sum = 0;
    for (std::size_t i = 0; i < all.size(); ++i) {
      EXPECT_LE(parts[i], all[i].most);
      sum += parts[i].raw;
    }
    EXPECT_LE(sum, total);
    EXPECT_GE(sum + all.size(), std::min(total, most)) << "but for the rounding";
  }
}

TEST(BalloonPace, WhereNobodyWaitsItTakesSixteenSecondsForAMachine) {
  EXPECT_EQ(unhurried({1'048'576}), Units{65'536});
  EXPECT_EQ(unhurried({100'000}), Units{16'384}) << "and no longer for a small one";
}

TEST(BalloonLoop, WithoutPressureItIsWhatTheHostWishes) {
  BalloonLoop loop(kConfigured);
  EXPECT_EQ(loop.decide({5000}, {0}, kCalm, at(0)), Units{5000});
  EXPECT_EQ(loop.decide({9000}, {5000}, kCalm, at(1)), Units{9000});
  EXPECT_EQ(loop.decide({100}, {9000}, kCalm, at(1)), Units{100}) << "giving back is at once";
}

TEST(BalloonLoop, ItIsNeverMoreThanItsPartOfTheMachine) {
  BalloonLoop loop(kConfigured);
  EXPECT_EQ(loop.decide(kConfigured, {0}, kCalm, at(0)), Units{65'000});
}

TEST(BalloonLoop, UnderPressureItShrinksStepByStepAndComesBackAfterARest) {
  BalloonLoop loop(kConfigured);
  EXPECT_EQ(loop.decide({40'000}, {0}, kCalm, at(0)), Units{40'000});
  EXPECT_EQ(loop.decide({40'000}, {40'000}, pressed(), at(1)), Units{35'000});
  EXPECT_TRUE(loop.yields());
  EXPECT_EQ(loop.decide({40'000}, {35'000}, pressed(), at(1)), Units{35'000}) << "a step a second";
  EXPECT_EQ(loop.decide({40'000}, {35'000}, pressed(), at(2)), Units{30'625});
  EXPECT_EQ(loop.decide({40'000}, {30'625}, kCalm, at(3)), Units{30'625}) << "it rests";
  const Units grown = loop.decide({40'000}, {30'625}, kCalm, at(7));
  EXPECT_GT(grown, Units{30'625});
  EXPECT_LT(grown, Units{40'000});
  for (u64 second = 8; loop.yields(); ++second) {
    ASSERT_LT(second, 60u);
    loop.decide({40'000}, grown, kCalm, at(second));
  }
  EXPECT_EQ(loop.decide({40'000}, grown, kCalm, at(60)), Units{40'000});
}

TEST(BalloonLoop, WithinTheBandItStays) {
  BalloonLoop loop(kConfigured);
  loop.decide({40'000}, {0}, kCalm, at(0));
  loop.decide({40'000}, {40'000}, pressed(), at(1));
  BalloonSigns within;
  within.pressure = 500;
  for (u64 second = 2; second < 100; ++second)
    EXPECT_EQ(loop.decide({40'000}, {35'000}, within, at(second)), Units{35'000});
}

TEST(BalloonLoop, EachOfTheSignsIsEnough) {
  BalloonSigns waiting, written, read, scarce;
  waiting.pressure = 1001;
  written.page_out_rate = 257;
  read.page_in_rate = 257;
  scarce.available = Units{1999};
  for (const BalloonSigns& signs : {waiting, written, read, scarce}) {
    BalloonLoop loop(kConfigured);
    EXPECT_EQ(loop.decide({40'000}, {40'000}, signs, at(1)), Units{35'000});
  }
}

// The agent goes down to 1/128 of memory there.
TEST(BalloonLoop, WithSwapThatHasRoomLittleIsAvailableAndTheBalloonGrows) {
  BalloonLoop loop(kConfigured);
  BalloonSigns signs;
  signs.available = Units{100};
  signs.can_swap = true;
  EXPECT_EQ(loop.decide({40'000}, {30'000}, signs, at(1)), Units{40'000});
  signs.page_out_rate = 300;
  EXPECT_EQ(loop.decide({40'000}, {40'000}, signs, at(2)), Units{35'000}) << "what it puts away tells";
  signs.page_out_rate = 0;
  EXPECT_GT(loop.decide({40'000}, {35'000}, signs, at(7)), Units{35'000})
      << "it is calm, however little there is";
}

TEST(BalloonLoop, WithSwapThatIsNearlyFullWhatIsAvailableCountsAgain) {
  EXPECT_TRUE(has_room_to_swap(1000, 126));
  EXPECT_FALSE(has_room_to_swap(1000, 125));
  EXPECT_FALSE(has_room_to_swap(0, 0));
  BalloonLoop loop(kConfigured);
  BalloonSigns signs;
  signs.available = Units{100};
  signs.can_swap = has_room_to_swap(1000, 100);
  EXPECT_EQ(loop.decide({40'000}, {40'000}, signs, at(1)), Units{35'000});
}

TEST(BalloonLoop, PressureDoesNotCountWhereTheHostReadsMuchBack) {
  BalloonLoop loop(kConfigured);
  BalloonSigns signs = pressed();
  signs.page_in_rate = 1000;
  signs.is_read_back = true;
  EXPECT_EQ(loop.decide({5000}, {5000}, signs, at(0)), Units{5000});
  signs.available = Units{100};
  EXPECT_LT(loop.decide({5000}, {5000}, signs, at(1)), Units{5000});
}

TEST(BalloonLoop, ALongPressureEmptiesIt) {
  BalloonLoop loop(kConfigured);
  Units held{40'000};
  for (u64 second = 1; second < 60; ++second) held = loop.decide({40'000}, held, pressed(), at(second));
  EXPECT_EQ(held, Units{0});
}

}  // namespace
}  // namespace cloister::policy::memory
