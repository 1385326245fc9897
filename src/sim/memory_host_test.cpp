// SPDX-License-Identifier: Apache-2.0
#include "sim/memory_host.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sim/memory_command.h"

namespace cloister::sim {
namespace {

using ::testing::HasSubstr;

constexpr Units kMiBs(u64 count) { return {count * 256}; }

GuestSpec guest_spec(std::string name, Units size, Units working) {
  GuestSpec spec;
  spec.name = std::move(name);
  spec.size = size;
  spec.overhead = {8 * kMiB};
  spec.fills = true;
  spec.work.points = {{{}, working}};
  return spec;
}

Scenario scenario_of(Bytes memory, std::vector<GuestSpec> guests) {
  Scenario scenario;
  scenario.memory = memory;
  scenario.duration = minutes(20);
  scenario.guests = std::move(guests);
  return scenario;
}

MemoryHost::Summary run(const Scenario& scenario, u64 seed = 1) {
  const auto fits = check_scenario(scenario);
  EXPECT_TRUE(fits.ok()) << fits.failure().message;
  MemoryHost host(scenario, 0, seed);
  while (host.step()) continue;
  return host.summary();
}

void expect_no_violation(const MemoryHost::Summary& summary) {
  EXPECT_EQ(summary.violation_count, 0u);
  for (const Violation& one : summary.violations) ADD_FAILURE() << clock_time(one.when) << ": " << one.what;
}

TEST(MemoryHost, LeavesEverybodyAloneWhereThereIsEnough) {
  const auto summary = run(scenario_of(
      {2 * kGiB}, {guest_spec("a", kMiBs(512), kMiBs(1)), guest_spec("b", kMiBs(512), kMiBs(512))}));
  expect_no_violation(summary);
  EXPECT_EQ(summary.state_changes, 0u);
  for (const auto& guest : summary.guests) EXPECT_EQ(guest.taken, 0u);
}

TEST(MemoryHost, KeepsMinimums) {
  GuestSpec reserved = guest_spec("reserved", kMiBs(512), kMiBs(1));
  reserved.settings.min = kMiBs(400);
  Scenario scenario = scenario_of({kGiB}, {reserved, guest_spec("busy", kMiBs(1024), kMiBs(1024))});
  MemoryHost host(scenario, 0, 1);
  Series series;
  while (host.step()) host.record(series);
  expect_no_violation(host.summary());
  EXPECT_EQ(series.guests[0].samples.back().held, kMiBs(400));
}

// Whoever does not give has it taken, after the deadline; whoever lies gains nothing.
TEST(MemoryHost, TakesFromThoseWhoDoNotGive) {
  for (const Behaviour behaviour : {Behaviour::kSlow, Behaviour::kRefuses, Behaviour::kLies}) {
    GuestSpec idle = guest_spec("idle", kMiBs(512), kMiBs(8));
    idle.behaviour = behaviour;
    Scenario scenario = scenario_of({768 * kMiB}, {idle, guest_spec("busy", kMiBs(512), kMiBs(480))});
    scenario.duration = hours(1);
    MemoryHost host(scenario, 0, 1);
    Series series;
    while (host.step()) host.record(series);
    expect_no_violation(host.summary());
    EXPECT_LT(series.guests[0].samples.back().held, kMiBs(250));
    EXPECT_GT(series.guests[1].samples.back().held, kMiBs(440));
  }
}

TEST(MemoryHost, RefusesWhoDoesNotFitAndAdmitsHimLater) {
  GuestSpec first = guest_spec("first", kMiBs(512), kMiBs(512));
  first.settings.min = kMiBs(512);
  first.stop = minutes(5);
  GuestSpec second = first;
  second.name = "second";
  second.stop.reset();
  second.start = minutes(1);
  const auto summary = run(scenario_of({768 * kMiB}, {first, second}));
  expect_no_violation(summary);
  EXPECT_GT(summary.guests[1].refusals, 5u);
  EXPECT_EQ(summary.guests[1].starts, 1u);
  EXPECT_GT(summary.guests[1].lifetime, minutes(14));
}

TEST(MemoryHost, GivesAllBackWhenAMachineDies) {
  Scenario scenario =
      scenario_of({kGiB}, {guest_spec("a", kMiBs(512), kMiBs(300)), guest_spec("b", kMiBs(512), kMiBs(300))});
  scenario.faults.kills_per_hour = 600;
  scenario.faults.restart = seconds(1);
  const auto summary = run(scenario);
  expect_no_violation(summary);
  EXPECT_GT(summary.guests[0].starts + summary.guests[1].starts, 50u);
}

TEST(MemoryHost, GoesTheSameWayForTheSameSeed) {
  Scenario scenario =
      scenario_of({kGiB}, {guest_spec("a", kMiBs(512), kMiBs(300)), guest_spec("b", kMiBs(512), kMiBs(300))});
  scenario.guests[0].work = {Shape::kWalk, {}, kMiBs(10), kMiBs(500), minutes(1)};
  scenario.faults = {60, 60, 60, seconds(30)};
  const auto json = [&](u64 seed) {
    scenario.seed = seed;
    return to_json(scenario, simulate(scenario, 1));
  };
  EXPECT_EQ(json(5), json(5));
  EXPECT_NE(json(5), json(6));
}

// With a single sample the estimate is all or nothing: then targets do swing, and the check must say so.
TEST(MemoryHost, NoticesTargetsThatSwing) {
  Scenario scenario = scenario_of(
      {640 * kMiB}, {guest_spec("a", kMiBs(512), kMiBs(256)), guest_spec("b", kMiBs(512), kMiBs(256))});
  scenario.duration = hours(2);
  scenario.activity = {1, seconds(5), seconds(10), pm::Fraction::percent(90), pm::Fraction::percent(90), {}};
  const auto summary = run(scenario);
  EXPECT_GT(summary.violation_count, 0u);
  ASSERT_FALSE(summary.violations.empty());
  EXPECT_THAT(summary.violations[0].what, HasSubstr("swings to and fro"));
}

TEST(MemoryHost, SharesByWorthToo) {
  Scenario scenario = scenario_of({640 * kMiB}, {guest_spec("small", kMiBs(512), kMiBs(100)),
                                                 guest_spec("large", kMiBs(512), kMiBs(400))});
  scenario.by_worth = true;
  scenario.duration = hours(1);
  MemoryHost host(scenario, 0, 3);
  Series series;
  while (host.step()) host.record(series);
  EXPECT_GT(series.guests[1].samples.back().held, kMiBs(350));
  EXPECT_GT(series.guests[0].samples.back().held, kMiBs(90));
}

TEST(MemoryHost, HoldsItsPromisesWhateverFails) {
  const u64 seed = 20'260'101;
  fmt::print("seed {}\n", seed);
  Random random(seed);
  for (int i = 0; i < 40; ++i) {
    std::vector<GuestSpec> guests;
    const u64 count = 2 + random.below(10);
    for (u64 j = 0; j < count; ++j) {
      const Units size = kMiBs(64 + random.below(512));
      GuestSpec spec = guest_spec(fmt::format("g{}", j), size, {});
      spec.fills = random.one_in(2);
      spec.settings.min = {random.one_in(2) ? 0 : random.below(size.raw / 3)};
      spec.behaviour = static_cast<Behaviour>(random.below(5));
      spec.start = seconds(random.below(300));
      spec.work = {static_cast<Shape>(1 + random.below(3)),
                   {},
                   {random.below(size.raw / 4)},
                   size,
                   minutes(1 + random.below(10))};
      guests.push_back(spec);
    }
    Scenario scenario = scenario_of({(300 + random.below(2'000)) * kMiB}, std::move(guests));
    scenario.tax = {static_cast<pm::TaxKind>(random.below(3)),
                    pm::Fraction::percent(static_cast<u32>(random.below(100)))};
    scenario.faults = {30, 30, 30, seconds(20)};
    scenario.thresholds = random.one_in(2) ? pm::ThresholdKind::kFixed : pm::ThresholdKind::kSliding;
    expect_no_violation(run(scenario, random.next()));
    if (HasNonfatalFailure()) FAIL() << "case " << i;
  }
}

}  // namespace
}  // namespace cloister::sim
