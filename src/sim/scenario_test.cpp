// SPDX-License-Identifier: Apache-2.0
#include "sim/scenario.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/os/file.h"

namespace cloister::sim {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr const char* kWhole = R"(
memory = "4GiB"
hosts = 3
seed = 9
duration = "2h"
tax = 50
tax-kind = "progressive"
targets = "worth"
samples = 200
[[pool]]
name = "tests"
limit = "1GiB"
[[vm]]
name = "web"
count = 2
in = "tests"
size = "512MiB"
min = "64MiB"
shares = "high"
start = "10s"
fills = true
behaviour = "lies"
work = { points = ["0s 64MiB", "1m 256MiB"] }
[faults]
kills-per-hour = 4
)";

std::string refusal(std::string_view text) {
  const auto read = read_scenario(text, "lab.toml", ".");
  return read.ok() ? "read" : read.failure().message;
}

// With one [[vm]] that lacks nothing but these lines.
std::string vm_refusal(const std::string& lines) {
  return refusal("memory = \"1GiB\"\n[[vm]]\nname = \"vm\"\nsize = \"256MiB\"\n" + lines);
}

TEST(Scenario, IsReadWhole) {
  const Scenario scenario = read_scenario(kWhole, "lab.toml", ".").take();
  EXPECT_EQ(scenario.memory, Bytes{4 * kGiB});
  EXPECT_EQ(scenario.hosts, 3u);
  EXPECT_EQ(scenario.tax.kind, pm::TaxKind::kProgressive);
  EXPECT_EQ(scenario.tax.rate, pm::Fraction::percent(50));
  EXPECT_TRUE(scenario.by_worth);
  EXPECT_EQ(scenario.activity.samples, 200u);
  EXPECT_EQ(scenario.faults.kills_per_hour, 4u);
  ASSERT_EQ(scenario.guests.size(), 1u);
  const GuestSpec& guest = scenario.guests[0];
  EXPECT_EQ(guest.size, Units{131'072});
  EXPECT_EQ(guest.settings.shares, pm::ShareSetting(pm::ShareLevel::kHigh));
  EXPECT_EQ(guest.behaviour, Behaviour::kLies);
  ASSERT_EQ(guest.work.points.size(), 2u);
  EXPECT_EQ(guest.work.points[1].at, minutes(1));
}

TEST(Scenario, NamesTheLineAndTheColumnOfWhatItRefuses) {
  EXPECT_THAT(refusal("memory = \"1GiB\"\nhots = 3\n"),
              AllOf(StartsWith("lab.toml:2:1: unknown key 'hots'; known are"), HasSubstr("hosts")));
  EXPECT_THAT(vm_refusal("siz = 3\n"), StartsWith("lab.toml:5:1: unknown key 'siz'"));
  EXPECT_THAT(vm_refusal("min = \"lots\"\n"), AllOf(StartsWith("lab.toml:5:7: min: "), HasSubstr("'lots'")));
  EXPECT_THAT(vm_refusal("min = 1.5\n"), StartsWith("lab.toml:5:7: min takes SIZE"));
  EXPECT_THAT(vm_refusal("work = { points = [\"soon\"] }\n"), HasSubstr("'soon' is not a time and a size"));
  EXPECT_THAT(vm_refusal("work = { shape = \"square\" }\n"),
              HasSubstr("choose one of steps, wave, bursts, walk"));
  EXPECT_THAT(vm_refusal("behaviour = \"odd\"\n"),
              HasSubstr("choose one of honest, slow, refuses, lies, hog"));
  EXPECT_THAT(refusal("memory = \n"), StartsWith("lab.toml:1:"));
}

TEST(Scenario, RefusesWhatLacks) {
  EXPECT_THAT(refusal(""), HasSubstr("memory is missing"));
  EXPECT_THAT(refusal("memory = \"1GiB\"\n"), HasSubstr("there is no guest"));
  EXPECT_THAT(refusal("memory = \"1GiB\"\n[[vm]]\nsize = \"1GiB\"\n"), HasSubstr("without a name"));
  EXPECT_THAT(refusal("memory = \"1GiB\"\n[[vm]]\nname = \"vm\"\n"), HasSubstr("size is missing"));
  EXPECT_THAT(vm_refusal("work = {}\n"), HasSubstr("no points and no trace"));
}

TEST(Scenario, RefusesWhatCannotBe) {
  EXPECT_THAT(refusal("memory = \"1MiB\"\n[[vm]]\nname = \"vm\"\nsize = \"1MiB\"\n"), HasSubstr("too small"));
  EXPECT_THAT(vm_refusal("min = \"257MiB\"\n"), HasSubstr("vm: the minimum of"));
  EXPECT_THAT(vm_refusal("in = \"nowhere\"\n"), HasSubstr("there is no pool nowhere"));
  EXPECT_THAT(vm_refusal("[[vm]]\nname = \"vm\"\nsize = \"1MiB\"\n"), HasSubstr("vm is there already"));
  EXPECT_THAT(vm_refusal("work = { shape = \"wave\", low = \"2MiB\", high = \"1MiB\" }\n"),
              HasSubstr("low is over high"));
  EXPECT_THAT(vm_refusal("work = { shape = \"wave\", high = \"300MiB\" }\n"), HasSubstr("work goes up to"));
  EXPECT_THAT(vm_refusal("tax = 100\n"), HasSubstr("0 to 99"));
  EXPECT_THAT(vm_refusal("work = { points = [\"2s 1MiB\", \"1s 1MiB\"] }\n"), HasSubstr("earlier than"));
}

TEST(Scenario, ReadsRecordedTraces) {
  const std::string folder = testing::TempDir();
  const std::string text = "seconds,MiB\n0,64\n30,128\n";
  auto file = os::File::open(folder + "/scenario_test_trace.csv", os::Open::kCreate).take();
  ASSERT_TRUE(file.resize({}).ok());
  ASSERT_TRUE(file.write_at(0, std::as_bytes(std::span(text))).ok());
  const std::string lines = "memory = \"1GiB\"\n[[vm]]\nname = \"vm\"\nsize = \"256MiB\"\n";
  const auto read =
      read_scenario(lines + "work = { trace = \"scenario_test_trace.csv\" }\n", "lab.toml", folder);
  ASSERT_TRUE(read.ok()) << read.failure().message;
  ASSERT_EQ(read->guests[0].work.points.size(), 2u);
  EXPECT_EQ(read->guests[0].work.points[1].working, Units{32'768});
  EXPECT_THAT(vm_refusal("work = { trace = \"missing.csv\" }\n"), HasSubstr("missing.csv"));
}

TEST(Scenario, HasEveryKeyInTheHelp) {
  for (const char* key : {"memory = SIZE", "behaviour = honest|slow", "trace = FILE", "kills-per-hour = N"})
    EXPECT_THAT(scenario_keys(), HasSubstr(key));
}

}  // namespace
}  // namespace cloister::sim
