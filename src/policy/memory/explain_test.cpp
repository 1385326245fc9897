// SPDX-License-Identifier: Apache-2.0
#include "policy/memory/explain.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "policy/memory/testing_units.h"

namespace cloister::policy::memory {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(Explain, TellsTheNumbersThatLedToATarget) {
  ClientTree tree({TaxKind::kFlat, Fraction::percent(75)});
  const ClientId idle = tree.add_client(kRoot, "idle", units_of_mib(256), {}).take();
  const ClientId busy = tree.add_client(kRoot, "busy", units_of_mib(256), {}).take();
  const Holding holdings[] = {{idle, units_of_mib(164), Activity::of(Fraction::ratio(60, 256))},
                              {busy, units_of_mib(164), Activity::of(Fraction::ratio(230, 256))}};
  const Plan plan = targets(tree, units_of_mib(328), holdings);
  EXPECT_THAT(explain(tree, *plan.find(idle)),
              AllOf(HasSubstr("idle holds 164.0 MiB of 256.0 MiB, and its target is 101.6 MiB"),
                    HasSubstr("512 of the 1024 shares that divide 328.0 MiB of the host"),
                    HasSubstr("uses about 60.0 MiB (23.4 % of its size)"),
                    HasSubstr("taxed at up to 75.0 % (flat): an idle page costs up to 4.0 times a used one"),
                    HasSubstr("2.3 shares a MiB"), HasSubstr("62.4 MiB are to be given back")));
  EXPECT_THAT(explain(tree, *plan.find(busy)), HasSubstr("62.4 MiB more are granted at once"));
  EXPECT_EQ(reason_in_short(*plan.find(idle)), "its price");
}

TEST(Explain, TellsWhatBoundsATarget) {
  ClientTree tree;
  Settings reserved;
  reserved.min = units_of_mib(150);
  const ClientId vm = tree.add_client(kRoot, "vm", units_of_mib(256), reserved).take();
  ASSERT_TRUE(tree.add_client(kRoot, "other", units_of_mib(256), {}).ok());
  const Holding holdings[] = {{vm, units_of_mib(150), Activity::of(Fraction::percent(1))}};
  const auto told = [&](u64 total) {
    const Plan plan = targets(tree, units_of_mib(total), holdings);
    return explain(tree, *plan.find(vm));
  };
  EXPECT_THAT(told(200), HasSubstr("its minimum of 150.0 MiB is reserved and never taken"));
  EXPECT_THAT(told(513), HasSubstr("enough for everybody"));
  EXPECT_THAT(told(200), HasSubstr("Nothing moves."));
}

TEST(Explain, TellsHowFarAnEstimateMayBeOff) {
  ActivityEstimator estimator;
  EXPECT_THAT(explain(estimator), HasSubstr("counts as using all its memory"));
  estimator.begin({}, {});
  estimator.end(50);
  estimator.note(0);
  EXPECT_THAT(explain(estimator),
              HasSubstr("use 50.0 %, give or take 5.0 %: the largest of 50.0 % (slow average), 50.0 % "
                        "(fast) and 25.0 % (with the period that runs), from 100 samples"));
}

TEST(Explain, TellsWhatMoreAndLessMemoryWouldDo) {
  EXPECT_THAT(explain(MissRatioCurve{}, units_of_mib(32), units_of_mib(16)),
              HasSubstr("no miss-ratio curve"));
  const MissRatioCurve curve{{{{}, Fraction::whole()},
                              {units_of_mib(32), Fraction::percent(20)},
                              {units_of_mib(48), Fraction::percent(3)}},
                             1000};
  EXPECT_THAT(
      explain(curve, units_of_mib(32), units_of_mib(16)),
      HasSubstr("20.0 % of its references miss with the 32.0 MiB that it holds; with 16.0 MiB more 3.0 %, "
                "with 16.0 MiB less 100.0 %"));
}

TEST(Explain, TellsThatATargetCameFromWorth) {
  ClientTree tree;
  const ClientId a = tree.add_client(kRoot, "a", units_of_mib(256), {}).take();
  const ClientId b = tree.add_client(kRoot, "b", units_of_mib(256), {}).take();
  const MissRatioCurve curve{{{{}, Fraction::whole()}, {units_of_mib(256), {0}}}, 1};
  const Worth worths[] = {{a, curve, 1'000'000}, {b, curve, 1}};
  const Plan plan = targets_by_worth(tree, units_of_mib(200), {}, worths);
  EXPECT_EQ(reason_in_short(*plan.find(a)), "the misses it saves");
  EXPECT_THAT(explain(tree, *plan.find(a)), HasSubstr("others' needs could not take it below 25.0 MiB"));
}

TEST(Explain, TellsWhatAHostStateMeans) {
  const auto thresholds = Thresholds::of(ThresholdKind::kFixed, {25'600});
  EXPECT_THAT(
      explain(HostState::kLow, thresholds, {256}),
      AllOf(HasSubstr("state low: 1.0 MiB are free (high 6.0 MiB, soft 4.0 MiB, hard 2.0 MiB, low 1.0 MiB)"),
            HasSubstr("compression, swap; machines above their target stand still")));
  EXPECT_THAT(explain(HostState::kHigh, thresholds, {25'600}), HasSubstr("zero, sharing.\n"));
}

}  // namespace
}  // namespace cloister::policy::memory
