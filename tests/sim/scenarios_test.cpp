// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "sim/memory_command.h"

namespace cloister::sim {
namespace {

Scenario read(const std::string& name) {
  auto scenario = read_scenario_file(fmt::format("{}/{}.toml", CLOISTER_SCENARIOS, name));
  EXPECT_TRUE(scenario.ok()) << scenario.failure().message;
  return scenario.take();
}

// The last third of a run, when everybody has settled.
struct Settled {
  u64 held_mib = 0;
  double speed = 0;
};
Settled settled(const GuestSeries& guest) {
  Settled mean;
  const std::size_t first = guest.samples.size() * 2 / 3;
  u64 held = 0;
  for (std::size_t i = first; i < guest.samples.size(); ++i) {
    held += guest.samples[i].held.raw;
    mean.speed += static_cast<double>(guest.samples[i].speed.raw) / pm::Fraction::kWhole;
  }
  const std::size_t count = guest.samples.size() - first;
  mean.held_mib = held / count / 256;
  mean.speed /= static_cast<double>(count);
  return mean;
}

MemoryResult with_tax(u32 percent) {
  Scenario scenario = read("idle-tax");
  scenario.tax.rate = pm::Fraction::percent(percent);
  const MemoryResult result = simulate(scenario, 1);
  EXPECT_EQ(result.violations(), 0u);
  return result;
}

// OSDI 2002, 5.4: without the tax memory is divided evenly, with 75 % the idle machine gives most of its own
// away and the busy one gains 30 % and more.
TEST(PaperIdleTax, MovesIdleMemoryToWhoUsesIt) {
  const MemoryResult plain = with_tax(0);
  const MemoryResult taxed = with_tax(75);
  const Settled idle_plain = settled(plain.series[0].guests[0]);
  const Settled busy_plain = settled(plain.series[0].guests[1]);
  const Settled idle_taxed = settled(taxed.series[0].guests[0]);
  const Settled busy_taxed = settled(taxed.series[0].guests[1]);
  fmt::print("tau 0: idle {} MiB, busy {} MiB at {:.2f}; tau 0.75: idle {} MiB, busy {} MiB at {:.2f}\n",
             idle_plain.held_mib, busy_plain.held_mib, busy_plain.speed, idle_taxed.held_mib,
             busy_taxed.held_mib, busy_taxed.speed);
  EXPECT_NEAR(static_cast<double>(idle_plain.held_mib), static_cast<double>(busy_plain.held_mib), 3);
  EXPECT_LT(idle_taxed.held_mib, 90u);
  EXPECT_GE(busy_taxed.held_mib, 235u);
  EXPECT_GT(busy_taxed.speed, 1.3 * busy_plain.speed);
  EXPECT_GT(busy_taxed.speed, 0.95);  // of having all memory
}

TEST(PaperIdleTax, HoldsForEveryKindOfTax) {
  for (const pm::TaxKind kind : {pm::TaxKind::kProgressive, pm::TaxKind::kByTime}) {
    Scenario scenario = read("idle-tax");
    scenario.tax.kind = kind;
    const MemoryResult result = simulate(scenario, 1);
    EXPECT_EQ(result.violations(), 0u);
    EXPECT_GT(settled(result.series[0].guests[1]).speed, 0.9);
  }
}

TEST(Fleet, HoldsItsPromisesThroughFaults) {
  Scenario scenario = read("fleet");
  scenario.hosts = 8;
  const MemoryResult result = simulate(scenario, 0);
  EXPECT_EQ(result.violations(), 0u) << in_words(scenario, result);
}

TEST(Traces, AreFollowedThroughADay) {
  const Scenario scenario = read("traces");
  const MemoryResult result = simulate(scenario, 1);
  EXPECT_EQ(result.violations(), 0u) << in_words(scenario, result);
  for (const GuestSeries& guest : result.series[0].guests) EXPECT_GT(settled(guest).speed, 0.5) << guest.name;
}

TEST(TooFewSamples, AreNoticed) { EXPECT_GT(simulate(read("too-few-samples"), 0).violations(), 0u); }

}  // namespace
}  // namespace cloister::sim
