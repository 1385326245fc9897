// SPDX-License-Identifier: Apache-2.0
#include "host/host.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include "base/random.h"
#include "host/testing_town.h"

namespace cloister::host {
namespace {

using testing::FakeCell;
using ::testing::HasSubstr;
using testing::Manner;
using testing::Town;

constexpr Bytes kPool{kGiB};

std::string refusal(const Result<void>& result) {
  return result.ok() ? "accepted" : result.failure().message;
}

// A machine that runs, with so many frames.
void start_with(Town& town, const std::string& name, u64 pages, std::vector<Word> words = {}) {
  ASSERT_EQ(refusal(town.launch(name, std::move(words))), "accepted");
  ASSERT_TRUE(town.run_until([&] { return town.cell(name).welcome(); }));
  for (u64 missing = pages; missing > 0; missing = pages - std::min(pages, town.cell(name).held())) {
    const u64 before = town.cell(name).held();
    town.cell(name).want(missing);
    if (!town.run_until([&] { return town.cell(name).held() > before; }, 200)) return;
  }
}

TEST(Host, AMachineIsDefinedStartedStoppedAndDeleted) {
  Town town(kPool);
  ASSERT_EQ(refusal(town.launch("one")), "accepted");
  ASSERT_TRUE(town.run_until([&] { return (*town.host->machine("one"))->state() == CellState::kRunning; }));
  EXPECT_THAT(refusal(town.remove("one")), HasSubstr("stop it first"));
  EXPECT_THAT(refusal(town.host->start("one")), HasSubstr("running already"));
  ASSERT_EQ(refusal(town.host->stop("one", Host::Stop::kOrderly)), "accepted");
  ASSERT_TRUE(town.run_until([&] { return (*town.host->machine("one"))->state() == CellState::kStopped; }));
  EXPECT_EQ(town.host->last_end("one"), "it was told to");
  ASSERT_EQ(refusal(town.host->start("one")), "accepted");
  ASSERT_TRUE(town.run_until([&] { return (*town.host->machine("one"))->state() == CellState::kRunning; }));
  ASSERT_EQ(refusal(town.host->stop("one", Host::Stop::kNow)), "accepted");
  ASSERT_TRUE(town.run_until([&] { return (*town.host->machine("one"))->state() == CellState::kStopped; }));
  ASSERT_EQ(refusal(town.remove("one")), "accepted");
  EXPECT_THAT(refusal(town.host->start("one")), HasSubstr("there is no machine 'one'"));
  EXPECT_EQ(town.free(), town.host->governor().ledger().pool());
}

TEST(Host, WhoPausesHearsWhenItIsSo) {
  Town town(kPool);
  bool obeyed = false;
  town.host->when_obeyed("nobody", [&] { obeyed = true; });
  EXPECT_TRUE(std::exchange(obeyed, false));
  ASSERT_EQ(refusal(town.launch("one")), "accepted");
  ASSERT_TRUE(town.run_until([&] { return (*town.host->machine("one"))->state() == CellState::kRunning; }));
  ASSERT_EQ(refusal(town.host->pause("one")), "accepted");
  town.host->when_obeyed("one", [&] { obeyed = true; });
  EXPECT_FALSE(obeyed);
  EXPECT_TRUE(town.run_until([&] { return obeyed; }));

  town.cells->manner = Manner::kSilent;
  ASSERT_EQ(refusal(town.launch("mute")), "accepted");
  ASSERT_TRUE(town.run_until([&] { return (*town.host->machine("mute"))->state() == CellState::kRunning; }));
  obeyed = false;
  town.host->when_obeyed("mute", [&] { obeyed = true; });
  EXPECT_FALSE(town.run_until([&] { return obeyed; }, 50)) << "it never says so";
  town.cell("mute").die();
  EXPECT_TRUE(town.run_until([&] { return obeyed; })) << "but its end does";
}

TEST(Host, RefusesWhatCannotBe) {
  Town town(kPool);
  ASSERT_EQ(refusal(town.launch("one")), "accepted");
  EXPECT_THAT(refusal(town.launch("one")), HasSubstr("there is a machine 'one' already"));
  EXPECT_THAT(refusal(town.launch("two", {{"min", "600MiB"}})), HasSubstr("600"));
  EXPECT_THAT(refusal(town.launch("two", {{"shares", "0"}})), HasSubstr("'0'"));
  EXPECT_THAT(refusal(town.launch("two", {{"shares", "99999999999999999999"}})),
              HasSubstr("99999999999999999999"));
  EXPECT_THAT(refusal(town.launch("two", {{"memory", "99999999999TiB"}})), HasSubstr("99999999999TiB"));
  EXPECT_THAT(refusal(town.launch("two", {{"limit", "8MiB"}, {"min", "16MiB"}})), HasSubstr("two"));
  EXPECT_THAT(refusal(town.launch("two", {{"colour", "red"}})), HasSubstr("'colour' is not known"));
  EXPECT_THAT(refusal(town.launch("../two")), HasSubstr("'../two'"));
  EXPECT_THAT(refusal(town.host->stop("three", Host::Stop::kNow)), HasSubstr("there is no machine 'three'"));
}

TEST(Host, ARefusedLaunchLeavesNothingAndNamesTheShortfall) {
  Town town(kPool);
  ASSERT_EQ(refusal(town.launch("one", {{"memory", "700MiB"}, {"min", "700MiB"}})), "accepted");
  const std::string reason = refusal(town.launch("two", {{"memory", "700MiB"}, {"min", "700MiB"}}));
  EXPECT_THAT(reason, HasSubstr("'two' cannot start"));
  EXPECT_THAT(reason, HasSubstr("lacking"));
  EXPECT_EQ(town.host->machines().size(), 1u);
  town.cells->refuse = true;
  EXPECT_THAT(refusal(town.launch("three")), HasSubstr("no process"));
  EXPECT_EQ(town.host->machines().size(), 1u);
  town.restart();
  EXPECT_EQ(town.host->machines().size(), 1u);
}

TEST(Host, ADryRunStartsNothing) {
  Town town(kPool);
  const auto verdict = town.host->try_launch(*Town::order("one", {{"min", "256MiB"}}));
  ASSERT_TRUE(verdict.ok());
  EXPECT_TRUE(verdict->admitted);
  const auto too_much = town.host->try_launch(*Town::order("two", {{"memory", "2GiB"}, {"min", "2GiB"}}));
  ASSERT_TRUE(too_much.ok());
  EXPECT_FALSE(too_much->admitted);
  EXPECT_GE(too_much->memory_shortfall.raw, kGiB);
  EXPECT_TRUE(town.host->machines().empty());
}

TEST(Host, AKilledCellGivesBackAllThatItHeld) {
  Town town(kPool);
  start_with(town, "one", 50'000);
  EXPECT_EQ(town.held("one"), Pages{50'000});
  town.cell("one").die();
  ASSERT_TRUE(town.run_until([&] { return town.free() == town.host->governor().ledger().pool(); }, 1000));
  EXPECT_THAT(town.host->last_end("one"), HasSubstr("killed by signal 9"));
}

TEST(Host, CellsOutliveTheDaemonAndKeepWhatTheyHold) {
  Town town(kPool);
  start_with(town, "one", 50'000, {{"shares", "high"}});
  start_with(town, "two", 30'000);
  town.restart();
  // Counted before anybody has registered again.
  EXPECT_EQ(town.held("one"), Pages{50'000});
  EXPECT_EQ((*town.host->machine("one"))->state(), CellState::kAway);
  ASSERT_TRUE(town.run_until([&] { return town.cell("one").welcome() && town.cell("two").welcome(); }));
  EXPECT_EQ(town.held("one"), Pages{50'000});
  EXPECT_EQ(town.held("two"), Pages{30'000});
  EXPECT_EQ(policy::memory::format_shares((*town.host->machine("one"))->order().terms.policy.shares), "high");
  town.cell("two").die();
  ASSERT_TRUE(town.run_until([&] { return town.held("two") == Pages{}; }, 1000));
}

TEST(Host, ACellThatDiedWhileTheDaemonWasAwayHoldsNothing) {
  Town town(kPool);
  start_with(town, "one", 50'000);
  town.host.reset();
  town.cell("one").die();
  town.restart();
  EXPECT_EQ(town.free(), town.host->governor().ledger().pool());
  EXPECT_EQ((*town.host->machine("one"))->state(), CellState::kStopped);
}

TEST(Host, IdleMemoryMovesToWhoUsesIt) {
  Town town(kPool);
  start_with(town, "idle", 131'072);
  start_with(town, "busy", 90'000);
  for (int i = 0; i < 8; ++i) {
    town.cell("idle").report(2);
    town.cell("busy").report(98);
    town.run_for(std::chrono::milliseconds(2));
  }
  ASSERT_TRUE(town.run_until([&] {
    town.cell("busy").want(2000);
    return town.held("busy") > Pages{130'000};
  }));
  EXPECT_LT(town.held("idle"), Pages{131'072});
  EXPECT_EQ(town.cell("idle").below_min(), 0u);
  town.host->check_invariants();
}

// A guest that needs `sixteenths` of its memory and misses nothing with them.
cell::control::Curve curve_of(u32 sixteenths) {
  cell::control::Curve curve;
  curve.references = 10'000'000;
  for (u32 i = 0; i < cell::control::kBuckets; ++i) curve.misses[i] = i + 1 < sixteenths ? 1'000'000 : 0;
  return curve;
}

// Both touch all of their memory, one of them to no avail: what it reads it does not read again soon.
TEST(Host, ByWorthMemoryMovesToWhereItSavesMisses) {
  Town town(kPool);
  ASSERT_EQ(refusal(town.change_settings({{"targets", "worth"}})), "accepted");
  start_with(town, "streams", 131'072);
  start_with(town, "loops", 90'000);
  for (int i = 0; i < 8; ++i) {
    town.cell("streams").report(98, curve_of(2));
    town.cell("loops").report(98, curve_of(16));
    town.run_for(std::chrono::milliseconds(2));
  }
  ASSERT_TRUE(town.run_until([&] {
    town.cell("loops").want(2000);
    return town.held("loops") > Pages{130'000};
  }));
  EXPECT_LT(town.held("streams"), Pages{131'072});
  const Cell& loops = **town.host->machine("loops");
  EXPECT_THAT(town.host->governor().explain(loops), HasSubstr("miss"));
  town.host->check_invariants();
}

TEST(Host, AReservedMinimumIsNeverTaken) {
  Town town(kPool);
  start_with(town, "reserved", 100'000, {{"min", "390MiB"}});
  start_with(town, "busy", 100'000);
  for (int i = 0; i < 300; ++i) {
    town.cell("reserved").report(1);
    town.cell("busy").report(100);
    town.cell("busy").want(4000);
    town.run_for(std::chrono::milliseconds(1));
  }
  EXPECT_GE(town.held("reserved").raw, 390 * kMiB / kPageSize);
  EXPECT_EQ(town.cell("reserved").below_min(), 0u);
}

TEST(Host, ACellThatAsksForMoreThanItsPartIsToldToMakeRoomItself) {
  Town town(kPool);
  start_with(town, "one", 100'000);
  start_with(town, "two", 131'072);
  const Pages free = town.free();
  for (int i = 0; i < 200; ++i) {
    town.cell("two").want(5000);
    town.run_for(std::chrono::milliseconds(1));
  }
  EXPECT_LE(town.held("two"), Pages{131'072});
  EXPECT_LE(town.free(), free);
  town.host->check_invariants();
}

// In `soft` a guest has a second to give what is demanded. A hart of it that needs a frame has not.
TEST(Host, ACellMakesRoomForItselfWhileItsGuestHasTimeToGive) {
  Town town(kPool);
  town.cells->manner = Manner::kUnwilling;
  start_with(town, "one", 110'000);
  bool made_room = false, forced = false;
  town.cell("one").listen([&](const cell::control::Message& message) {
    const auto* order = std::get_if<cell::control::Reclaim>(&message);
    if (order == nullptr) return;
    made_room |= order->keep != 0;
    forced |= order->keep == 0 && order->ways == cell::control::kEveryWay;
  });
  const Bytes size = kPool - bytes_of(town.free()) + Bytes{13 * kMiB};
  ASSERT_TRUE(town.change_settings({{"pool", std::to_string(size.raw)}}).ok());
  EXPECT_TRUE(
      town.run_until([&] { return town.host->governor().state() == policy::memory::HostState::kSoft; }));
  EXPECT_TRUE(town.run_until([&] {
    town.cell("one").want(256);
    return made_room || forced;
  }));
  EXPECT_TRUE(made_room);
  EXPECT_FALSE(forced);
  town.host->check_invariants();
}

// Whose swap is slow: its guest has time to give what it can once, and then force goes on.
TEST(Host, AboveItsLimitOneIsForcedUntilItIsNot) {
  Town town(kPool);
  town.cells->manner = Manner::kSlow;
  start_with(town, "one", 6000);
  std::vector<u32> ways;
  town.cell("one").listen([&](const cell::control::Message& message) {
    const auto* order = std::get_if<cell::control::Reclaim>(&message);
    if (order != nullptr && order->keep == 0) ways.push_back(order->ways);
  });
  ASSERT_EQ(refusal(town.change("one", {{"limit", std::to_string(3000 * kPageSize)}})), "accepted");
  EXPECT_TRUE(town.run_until([&] { return town.held("one") == Pages{3000}; }, 20'000));
  ASSERT_EQ(ways.size(), 4u);
  EXPECT_NE(ways[0], cell::control::kEveryWay);
  EXPECT_THAT(std::span(ways).subspan(1), ::testing::Each(cell::control::kEveryWay));
}

TEST(Host, ALyingCellIsBoundedAndReported) {
  Town town(kPool);
  start_with(town, "honest", 20'000);
  town.cells->manner = Manner::kLying;
  start_with(town, "liar", 20'000);
  town.cell("liar").report(50);
  town.cell("liar").say(cell::control::Back{0, 1'000'000});
  town.cell("liar").say(cell::control::Want{~u64{0}, 1, 0});
  town.run_for(std::chrono::milliseconds(20));
  const Member* member = town.host->governor().find(**town.host->machine("liar"));
  ASSERT_NE(member, nullptr);
  EXPECT_GE(member->lies, 3u);
  EXPECT_LE(town.held("liar"), Pages{131'072});
  EXPECT_GE(town.held("honest"), Pages{20'000});
  town.host->check_invariants();
  bool loud = false;
  for (const Event& event : town.host->events().since(0))
    loud |= event.kind == "lied" && event.level == LogLevel::kError;
  EXPECT_TRUE(loud);
  // It claims twice its size when it comes back; the books know better.
  town.restart();
  ASSERT_TRUE(town.run_until([&] { return town.cell("liar").welcome(); }));
  EXPECT_LE(town.held("liar"), Pages{131'072});
}

TEST(Host, ACellMaySayThatItWillBeSilentForAWhile) {
  Town town(kPool);
  town.settings.silent_after = Nanos{20'000'000};
  town.restart();
  start_with(town, "one", 1000);
  const auto silences = [&] {
    const auto events = town.host->events().since(0);
    return std::count_if(events.begin(), events.end(),
                         [](const Event& event) { return event.kind == "silent"; });
  };
  const auto deaf = [&](Nanos rest) {
    const auto before = silences();
    town.cell("one").rest(rest);
    town.run_for(std::chrono::milliseconds(5));
    // Only in this test does so short a silence count; the governor looks each half second.
    return town.run_until([&] { return silences() != before; }, 2500);
  };
  EXPECT_FALSE(deaf(Nanos{10'000'000'000}));
  EXPECT_TRUE(deaf(Nanos{}));
}

TEST(Host, ACellThatTalksNonsenseIsCutOffAndMayComeBack) {
  Town town(kPool);
  start_with(town, "one", 1000);
  town.cell("one").say(cell::control::Grant{5});  // which only the daemon may say
  ASSERT_TRUE(town.run_until([&] { return !town.cell("one").welcome(); }));
  ASSERT_TRUE(town.run_until([&] { return town.cell("one").welcome(); }));
  EXPECT_EQ(town.held("one"), Pages{1000});
}

TEST(Host, TermsChangeWhileItRuns) {
  Town town(kPool);
  start_with(town, "one", 1000);
  EXPECT_EQ(refusal(town.change("one", {{"shares", "high"}, {"min", "64MiB"}})), "accepted");
  EXPECT_THAT(refusal(town.change("one", {{"min", "2GiB"}})), HasSubstr("2"));
  EXPECT_THAT(refusal(town.change("one", {{"cpus", "2"}})), HasSubstr("cannot be changed"));
  town.restart();
  const auto& words = (*town.host->machine("one"))->order().words;
  EXPECT_EQ(std::count_if(words.begin(), words.end(),
                          [](const Word& w) { return w.key == "min" && w.text == "64MiB"; }),
            1);
}

TEST(Host, AFlushThatTakesLongHoldsUpNobodyButWhoAsked) {
  Town town(kPool);
  start_with(town, "one", 1000);
  std::promise<void> disk;
  town.host->clerk().write(
      [ready = disk.get_future().share()] {
        ready.wait();
        return Result<void>();
      },
      [](const Result<void>&) {});
  std::string launched, changed;
  town.host->launch(*Town::order("two"), [&](const Result<void>& result) { launched = refusal(result); });
  town.host->change("one", {{"shares", "high"}},
                    [&](const Result<void>& result) { changed = refusal(result); });
  town.cell("one").want(500);
  EXPECT_TRUE(town.run_until([&] { return town.held("one") >= Pages{1500}; }));
  EXPECT_EQ(launched + changed, "") << "nothing of it is on the disk";
  EXPECT_THAT(refusal(town.launch("two")), HasSubstr("there is a machine 'two' already"));
  EXPECT_THAT(refusal(town.host->start("two")), HasSubstr("being defined"));
  disk.set_value();
  EXPECT_TRUE(town.run_until([&] { return !launched.empty() && !changed.empty(); }));
  EXPECT_EQ(launched + changed, "acceptedaccepted");
  EXPECT_TRUE((*town.host->machine("two"))->has_process());
}

TEST(Host, WhatWasAskedForIsWrittenDownBeforeTheDaemonEnds) {
  Town town(kPool);
  town.host->launch(*Town::order("one"), [](const Result<void>&) {});
  town.restart();
  EXPECT_EQ(town.host->machines().size(), 1u);
}

TEST(Host, ThePoolIsNotMadeSmallerThanTheMinimums) {
  Town town(kPool);
  start_with(town, "one", 1000, {{"min", "400MiB"}});
  EXPECT_THAT(refusal(town.change_settings({{"pool", "256MiB"}})), HasSubstr("bytes more"));
  EXPECT_THAT(refusal(town.change_settings({{"pool", "900TiB"}})),
              HasSubstr("larger than the machine's memory"));
  EXPECT_THAT(refusal(town.change_settings({{"idle-tax", "1"}})), HasSubstr("'1'"));
  EXPECT_THAT(refusal(town.change_settings({{"targets", "luck"}})), HasSubstr("'luck'"));
  EXPECT_THAT(refusal(town.change_settings({{"curve-samples", "-1"}})), HasSubstr("'-1'"));
  EXPECT_EQ(refusal(town.change_settings({{"pool", "700MiB"}, {"idle-tax", "50%"}})), "accepted");
  EXPECT_EQ(bytes_of(town.host->governor().ledger().pool()), Bytes{700 * kMiB});
  town.restart();
  EXPECT_EQ(bytes_of(town.host->governor().ledger().pool()), Bytes{700 * kMiB});
}

TEST(Host, ExplainsWhyAMachineHasWhatItHas) {
  Town town(kPool);
  start_with(town, "one", 1000);
  const auto text = town.host->explain("one");
  ASSERT_TRUE(text.ok());
  EXPECT_THAT(*text, HasSubstr("standard error"));
  EXPECT_THAT(*text, HasSubstr("one"));
}

TEST(Host, WhoseLimitIsLoweredGivesBackWhatIsAboveIt) {
  Town town(kPool);
  start_with(town, "one", 40'000, {{"memory", "256MiB"}});
  ASSERT_GE(town.held("one"), Pages{40'000});
  ASSERT_EQ(refusal(town.change("one", {{"limit", "64MiB"}})), "accepted");
  EXPECT_TRUE(town.run_until([&] { return town.held("one") <= Pages{16'384}; }));
  EXPECT_EQ(town.host->governor().state(), policy::memory::HostState::kHigh) << "though there is plenty";
  town.cell("one").want(1000);
  town.run_for(std::chrono::milliseconds(50));
  EXPECT_LE(town.held("one"), Pages{16'384});
}

TEST(Host, GuestsAreToldHowTheirMachineStands) {
  Town town(kPool);
  start_with(town, "one", 1000, {{"memory", "256MiB"}});
  ASSERT_TRUE(town.run_until([&] { return town.cell("one").standing().target_pages != 0; }));
  EXPECT_EQ(town.cell("one").standing().target_pages, 65'536u);
  EXPECT_EQ(town.cell("one").standing().entitlement_pages, 65'536u);
  ASSERT_EQ(refusal(town.change("one", {{"limit", "64MiB"}})), "accepted");
  EXPECT_TRUE(town.run_until([&] { return town.cell("one").standing().target_pages == 16'384; }, 500));
}

// The pool is full of what others hold above nothing; the one that gave its memory up by its balloon has it
// again.
TEST(Host, WhatABalloonGaveComesBackWithoutAWait) {
  Town town(kPool);
  start_with(town, "one", 60'000, {{"memory", "512MiB"}, {"shares", "1"}});
  town.cell("one").give_by_balloon(20'000);
  start_with(town, "two", 250'000, {{"memory", "1GiB"}, {"shares", "100000"}});
  town.run_for(std::chrono::milliseconds(300));
  const u64 before = town.cell("one").held();
  ASSERT_LE(town.free(), town.host->governor().goal()) << "there is nothing but the reserve";
  const Pages reserve = town.free() - town.host->governor().thresholds().low;
  town.cell("one").want(2000);
  EXPECT_TRUE(town.run_until(
      [&] { return town.cell("one").held() >= before + std::min<u64>(2000, reserve.raw); }, 200));
}

}  // namespace
}  // namespace cloister::host
