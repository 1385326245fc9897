// SPDX-License-Identifier: Apache-2.0
#include "sim/guest.h"

#include <gtest/gtest.h>

namespace cloister::sim {
namespace {

GuestSpec spec_of(Units working, Behaviour behaviour = Behaviour::kHonest) {
  GuestSpec spec;
  spec.name = "guest";
  spec.size = {1000};
  spec.behaviour = behaviour;
  spec.work.points = {{{}, working}};
  return spec;
}

TEST(Guest, WantsWhatItWorksWithAndWhatItFills) {
  GuestSpec spec = spec_of({300});
  Guest modest(spec, 1);
  modest.run({}, seconds(1), false);
  EXPECT_EQ(modest.wants(), Units{300});
  modest.grant({300});
  EXPECT_EQ(modest.wants(), Units{});
  spec.fills = true;
  Guest filling(spec, 1);
  filling.run({}, seconds(1), false);
  EXPECT_EQ(filling.wants(), Units{1000});
  filling.grant({1000});
  filling.take({800});
  EXPECT_EQ(filling.wants(), Units{100});  // what was idle is not missed
  filling.grant({100});
  EXPECT_EQ(filling.taken(), Units{700});
}

TEST(Guest, SlowsDownByTheSquareOfWhatIsMissing) {
  GuestSpec spec = spec_of({1000});
  spec.miss_cost = 5;
  Guest guest(spec, 1);
  guest.grant({500});
  guest.run({}, seconds(1), false);
  EXPECT_EQ(guest.speed(), pm::Fraction::percent(50));  // 1 / (1 + 1/4 (5 - 1))
  guest.grant({500});
  guest.run(seconds(1), seconds(1), false);
  EXPECT_EQ(guest.speed(), pm::Fraction::whole());
  EXPECT_EQ(guest.mean_speed(), pm::Fraction::percent(75));
}

TEST(Guest, DoesNothingWhileItStandsStill) {
  const GuestSpec spec = spec_of({1000});
  Guest guest(spec, 1);
  guest.run({}, seconds(1), true);
  EXPECT_EQ(guest.run_time(), Nanos{});
  EXPECT_EQ(guest.speed(), pm::Fraction{});
}

TEST(Guest, GivesByItsBehaviour) {
  const auto asked = [](Behaviour behaviour) {
    const GuestSpec spec = spec_of({}, behaviour);
    Guest guest(spec, 1);
    guest.grant({1000});
    const Guest::Given given = guest.give({100});
    EXPECT_EQ(guest.held(), Units{1000} - given.really);
    return given;
  };
  EXPECT_EQ(asked(Behaviour::kHonest).really, Units{100});
  EXPECT_EQ(asked(Behaviour::kSlow).really, Units{10});
  EXPECT_EQ(asked(Behaviour::kRefuses).claimed, Units{0});
  EXPECT_EQ(asked(Behaviour::kLies).claimed, Units{100});
  EXPECT_EQ(asked(Behaviour::kLies).really, Units{0});
}

TEST(Guest, IsSampledAsItWorks) {
  const GuestSpec spec = spec_of({250});
  Guest guest(spec, 1);
  guest.run({}, seconds(1), false);
  guest.begin_sampling(10'000);
  EXPECT_NEAR(guest.touched(), 2'500, 200);
  const GuestSpec hog = spec_of({250}, Behaviour::kHog);
  Guest busy(hog, 1);
  busy.begin_sampling(100);
  EXPECT_EQ(busy.touched(), 100u);
}

}  // namespace
}  // namespace cloister::sim
