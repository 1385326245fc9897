// SPDX-License-Identifier: Apache-2.0
// Random starts, stops, loads, kills, liars, mutes and restarts of the daemon, with the books checked all
// along.
#include <gtest/gtest.h>

#include <cstdlib>

#include "base/random.h"
#include "host/testing_town.h"

namespace cloister::host {
namespace {

using testing::FakeCell;
using testing::Manner;
using testing::Town;

class Soak {
 public:
  explicit Soak(u64 seed) : random_(seed), town_(Bytes{kGiB}) {}

  void step() {
    const u64 what = random_.below(100);
    const std::string name = fmt::format("vm{}", random_.below(12));
    const bool there = town_.host->machine(name).ok();
    if (what < 6) {
      start(name, there);
    } else if (what < 8 && there) {
      (void)town_.host->stop(name, random_.one_in(2) ? Host::Stop::kNow : Host::Stop::kOrderly);
    } else if (what < 10) {
      kill(name);
    } else if (what < 11 && there) {
      (void)town_.remove(name);
    } else if (what < 12) {
      (void)town_.change_settings({{"pool", fmt::format("{}MiB", 600 + random_.below(1000))}});
    } else if (what < 13) {
      town_.restart();
    } else {
      load(name);
    }
    if (random_.one_in(3)) town_.run_for(std::chrono::milliseconds(1));
    check();
  }

  // All that ran is gone: so is every claim on the pool.
  void end() {
    for (auto& [name, cell] : town_.cells->cells) cell->die();
    EXPECT_TRUE(town_.run_until([&] { return town_.host->governor().members() == 0; }));
    const auto& ledger = town_.host->governor().ledger();
    EXPECT_EQ(ledger.free(), ledger.pool());
    town_.host->check_invariants();
  }

 private:
  void start(const std::string& name, bool there) {
    const u64 manner = random_.below(10);
    town_.cells->manner = manner == 0 ? Manner::kLying : manner == 1 ? Manner::kSilent : Manner::kHonest;
    if (there) {
      (void)town_.host->start(name);
    } else {
      (void)town_.launch(name, {{"memory", fmt::format("{}MiB", 64 + random_.below(400))},
                                {"min", fmt::format("{}MiB", random_.below(64))},
                                {"shares", fmt::format("{}", 1 + random_.below(5000))}});
    }
  }
  void kill(const std::string& name) {
    const auto found = town_.cells->cells.find(name);
    if (found != town_.cells->cells.end()) found->second->die();
  }
  void load(const std::string& name) {
    const auto found = town_.cells->cells.find(name);
    if (found == town_.cells->cells.end() || !found->second->welcome()) return;
    FakeCell& cell = *found->second;
    switch (random_.below(3)) {
      case 0:
        return cell.want(random_.below(cell.size()));
      case 1:
        return cell.report(static_cast<u32>(random_.below(101)));
      default:
        if (cell.manner() == Manner::kHonest) cell.give_back(random_.below(cell.held() + 1));
    }
  }

  void check() {
    town_.host->check_invariants();
    for (const auto& [name, cell] : town_.cells->cells) {
      EXPECT_EQ(cell->below_min(), 0u) << name << " was to give what is reserved for it";
      const auto machine = town_.host->machine(name);
      if (cell->dead() || cell->manner() == Manner::kLying || !machine.ok()) continue;
      // A cell never has more than the books say.
      if ((*machine)->has_process() && (*machine)->process()->id() == cell->id()) {
        EXPECT_LE(cell->held(), town_.held(name).raw) << name;
      }
    }
  }

  Random random_;
  Town town_;
};

// CLOISTER_SOAK_STEPS and CLOISTER_SOAK_SEED make it longer, or another.
u64 from_environment(const char* name, u64 otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

TEST(HostSoak, NothingIsLostAndNothingCountedTwice) {
  set_log_level(static_cast<LogLevel>(4));  // liars are loud
  const u64 seed = from_environment("CLOISTER_SOAK_SEED", 20260801);
  SCOPED_TRACE(fmt::format("CLOISTER_SOAK_SEED={}", seed));
  const u64 steps = from_environment("CLOISTER_SOAK_STEPS", 4000);
  Soak soak(seed);
  for (u64 i = 0; i < steps && !::testing::Test::HasFailure(); ++i) soak.step();
  soak.end();
}

}  // namespace
}  // namespace cloister::host
