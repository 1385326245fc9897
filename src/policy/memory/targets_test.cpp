// SPDX-License-Identifier: Apache-2.0
#include "policy/memory/targets.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "base/random.h"
#include "policy/memory/testing_units.h"

namespace cloister::policy::memory {
namespace {

// A random tree, three levels deep at most, and what its clients hold.
class RandomHost {
 public:
  explicit RandomHost(Random& random) : random_(random) {
    const u64 nodes = 2 + random.below(14);
    for (u64 i = 0; i < nodes; ++i) add(i);
    for (const ClientId client : tree.clients()) {
      const Units size = tree.node(client).size;
      const Fraction used = Fraction::percent(static_cast<u32>(1 + random.below(100)));
      if (!random.one_in(6)) holdings.push_back({client, {random.below(size.raw + 1)}, Activity::of(used)});
    }
    const Units least = tree.guaranteed(kRoot);
    total = least + Units{random.below((tree.cap(kRoot) - least).raw + 2)};
  }

  ClientTree tree;
  std::vector<Holding> holdings;
  Units total{};

 private:
  void add(u64 number) {
    const ClientId parent = pools_[random_.below(pools_.size())];
    Settings settings;
    settings.tax_rate = Fraction::percent(static_cast<u32>(random_.below(100)));
    if (random_.one_in(2)) settings.shares = Shares{100 * (1 + random_.below(4))};
    const std::string name = fmt::format("n{}", number);
    if (random_.one_in(3)) {
      if (random_.one_in(3)) settings.min = {random_.below(40)};
      pools_.push_back(tree.add_pool(parent, name, settings).take());
      return;
    }
    const Units size{1 + random_.below(60)};
    if (random_.one_in(2)) settings.min = {random_.below(size.raw)};
    if (random_.one_in(4)) settings.limit = size;
    ASSERT_TRUE(tree.add_client(parent, name, size, settings).ok());
  }

  Random& random_;
  std::vector<ClientId> pools_{kRoot};
};

// Each level of the tree by the page-wise rule.
class PageWise {
 public:
  PageWise(const RandomHost& host, const Plan& plan) : host_(host), plan_(plan) {}

  void check(ClientId pool, Units total) {
    const auto& children = host_.tree.node(pool).children;
    std::vector<Bidder> bidders;
    for (const ClientId child : children) {
      const Tax tax = host_.tree.tax(child);
      bidders.push_back({host_.tree.shares(child), host_.tree.guaranteed(child), host_.tree.cap(child),
                         held(child), CostCurve(tax, usage(child))});
    }
    const std::vector<Units> parts = settle(total, bidders);
    for (std::size_t i = 0; i < children.size(); ++i) {
      ASSERT_EQ(plan_.find(children[i])->target, parts[i]);
      if (host_.tree.node(children[i]).kind == NodeKind::kPool) check(children[i], parts[i]);
    }
  }

 private:
  const Holding* find(ClientId client) const {
    const auto is_it = [&](const Holding& holding) { return holding.client == client; };
    const auto found = std::find_if(host_.holdings.begin(), host_.holdings.end(), is_it);
    return found == host_.holdings.end() ? nullptr : &*found;
  }

  Units held(ClientId id) const {
    const Holding* holding = find(id);
    Units sum = holding != nullptr ? holding->held : Units{};
    for (const ClientId child : host_.tree.node(id).children) sum += held(child);
    return sum;
  }

  Usage usage(ClientId id) const {
    if (host_.tree.node(id).kind == NodeKind::kClient) {
      const Holding* holding = find(id);
      return (holding != nullptr ? holding->activity : Activity{}).usage(host_.tree.node(id).size);
    }
    Usage sum;
    for (const ClientId child : host_.tree.node(id).children) sum += usage(child);
    return sum;
  }

  const RandomHost& host_;
  const Plan& plan_;
};

TEST(Targets, AgreeWithThePageWiseRuleAtEveryLevelOfTheTree) {
  const u64 seed = 8'745'241;
  fmt::print("seed {}\n", seed);
  Random random(seed);
  for (int i = 0; i < 5'000; ++i) {
    const RandomHost host(random);
    const Plan plan = targets(host.tree, host.total, host.holdings);
    PageWise(host, plan).check(kRoot, host.total);
    if (testing::Test::HasFatalFailure()) FAIL() << "case " << i;
  }
}

TEST(Targets, GiveOutAllAndKeepMinimumsAndLimits) {
  const u64 seed = 9'363'197;
  fmt::print("seed {}\n", seed);
  Random random(seed);
  for (int i = 0; i < 5'000; ++i) {
    const RandomHost host(random);
    const Plan plan = targets(host.tree, host.total, host.holdings);
    Units given = plan.unclaimed;
    for (const ClientId client : host.tree.clients()) {
      const Decision& decision = *plan.find(client);
      ASSERT_GE(decision.target, host.tree.node(client).settings.min);
      ASSERT_LE(decision.target, host.tree.cap(client));
      given += decision.target;
    }
    ASSERT_EQ(given, host.total) << "case " << i;
  }
}

// Once targets are held, nothing moves: neither by new targets nor by the rule for one unit.
TEST(Targets, AreStable) {
  const u64 seed = 9'916'106;
  fmt::print("seed {}\n", seed);
  Random random(seed);
  for (int i = 0; i < 2'000; ++i) {
    RandomHost host(random);
    const Plan plan = targets(host.tree, host.total, host.holdings);
    for (Holding& holding : host.holdings) holding.held = plan.find(holding.client)->target;
    for (const ClientId client : host.tree.clients()) {
      const auto is_it = [&](const Holding& holding) { return holding.client == client; };
      if (std::none_of(host.holdings.begin(), host.holdings.end(), is_it))
        host.holdings.push_back({client, plan.find(client)->target, {}});
    }
    for (const Decision& decision : targets(host.tree, host.total, host.holdings).decisions)
      ASSERT_EQ(decision.target, plan.find(decision.client)->target) << "case " << i;
  }
}

struct Pair {
  ClientTree tree;
  ClientId a, b;
};
Pair make_pair(const Settings& a = {}, const Settings& b = {}) {
  Pair pair{ClientTree({TaxKind::kFlat, Fraction::percent(75)}), {}, {}};
  pair.a = pair.tree.add_client(kRoot, "a", units_of_mib(256), a).take();
  pair.b = pair.tree.add_client(kRoot, "b", units_of_mib(256), b).take();
  return pair;
}

TEST(Targets, SayWhatSetThem) {
  Settings reserved;
  reserved.min = units_of_mib(150);
  const Pair pair = make_pair(reserved);
  const Holding holdings[] = {{pair.a, units_of_mib(150), Activity::of(Fraction::percent(10))},
                              {pair.b, units_of_mib(100), Activity::of(Fraction::percent(100))}};
  Plan plan = targets(pair.tree, units_of_mib(328), holdings);
  EXPECT_EQ(plan.find(pair.a)->bound, Bound::kMin);
  EXPECT_EQ(plan.find(pair.b)->bound, Bound::kPrice);
  EXPECT_EQ(plan.find(pair.b)->target, units_of_mib(178));
  plan = targets(pair.tree, units_of_mib(500), holdings);
  EXPECT_EQ(plan.find(pair.b)->bound, Bound::kCap);
  plan = targets(pair.tree, units_of_mib(513), holdings);
  EXPECT_EQ(plan.find(pair.a)->bound, Bound::kPlenty);
  EXPECT_EQ(plan.unclaimed, units_of_mib(1));
  plan = targets(pair.tree, units_of_mib(140), holdings);
  EXPECT_EQ(plan.shortfall, units_of_mib(10));
  EXPECT_EQ(plan.find(pair.a)->target, units_of_mib(150));
}

TEST(Targets, TakeWhoIsUnknownAsFullyActive) {
  const Pair pair = make_pair();
  const Holding known[] = {{pair.a, units_of_mib(200), Activity::of(Fraction::percent(1))}};
  const Plan plan = targets(pair.tree, units_of_mib(300), known);
  EXPECT_EQ(plan.find(pair.b)->active, units_of_mib(256));
  EXPECT_GT(plan.find(pair.b)->target, units_of_mib(220));
}

// A crowded pool does not take from its neighbour what the neighbour's shares hold.
TEST(Targets, DivideFirstAmongPoolsThenWithin) {
  ClientTree tree({TaxKind::kFlat, {}});
  Settings shares;
  shares.shares = Shares{100};
  const ClientId crowded = tree.add_pool(kRoot, "crowded", shares).take();
  const ClientId calm = tree.add_pool(kRoot, "calm", shares).take();
  for (int i = 0; i < 4; ++i)
    ASSERT_TRUE(tree.add_client(crowded, fmt::format("c{}", i), units_of_mib(256), {}).ok());
  const ClientId alone = tree.add_client(calm, "alone", units_of_mib(512), {}).take();
  const Plan plan = targets(tree, units_of_mib(512), {});
  EXPECT_EQ(plan.find(crowded)->target, units_of_mib(256));
  EXPECT_EQ(plan.find(alone)->target, units_of_mib(256));
  EXPECT_EQ(plan.find(*tree.find("c3"))->target, units_of_mib(64));
}

TEST(Victim, IsTheLeastFundedOfTheLeastFundedPool) {
  ClientTree tree;
  const ClientId pool = tree.add_pool(kRoot, "pool", {}).take();
  const ClientId idle = tree.add_client(pool, "idle", units_of_mib(256), {}).take();
  const ClientId used = tree.add_client(pool, "used", units_of_mib(256), {}).take();
  const ClientId asking = tree.add_client(kRoot, "asking", units_of_mib(256), {}).take();
  Holding holdings[] = {{idle, units_of_mib(128), Activity::of(Fraction::percent(1))},
                        {used, units_of_mib(128), Activity::of(Fraction::percent(60))},
                        {asking, units_of_mib(64), {}}};
  EXPECT_EQ(victim_for(tree, holdings, asking), idle);
  EXPECT_EQ(victim_for(tree, holdings, used), idle);
  EXPECT_EQ(victim_for(tree, holdings, idle), idle);  // it is its own victim
  holdings[0].held = units_of_mib(100);
  holdings[2].held = units_of_mib(250);
  EXPECT_EQ(victim_for(tree, holdings, asking), asking);
}

// -- By worth
// ------------------------------------------------------------------------------------------------

// All misses end at `edge`.
MissRatioCurve cliff(Units edge) { return {{{{}, Fraction::whole()}, {edge, {0}}}, 1000}; }

TEST(TargetsByWorth, GoWhereMissesAreSaved) {
  const Pair pair = make_pair();
  const Holding holdings[] = {{pair.a, units_of_mib(128), Activity::of(Fraction::percent(90))},
                              {pair.b, units_of_mib(128), Activity::of(Fraction::percent(90))}};
  const Worth worths[] = {{pair.a, cliff(units_of_mib(80)), 1000}, {pair.b, cliff(units_of_mib(200)), 1000}};
  const Plan plan = targets_by_worth(pair.tree, units_of_mib(290), holdings, worths);
  EXPECT_GE(plan.find(pair.a)->target, units_of_mib(80));
  EXPECT_GE(plan.find(pair.b)->target, units_of_mib(200));
  EXPECT_EQ(plan.find(pair.a)->target + plan.find(pair.b)->target, units_of_mib(290));
}

// The tax bounds what others' worth may take: at 75 % a quarter of the plain share stays.
TEST(TargetsByWorth, LeaveEverybodyWhatTheTaxCannotTake) {
  const Pair pair = make_pair();
  const Holding holdings[] = {{pair.a, units_of_mib(100), {}}, {pair.b, units_of_mib(100), {}}};
  const Worth worths[] = {{pair.a, cliff(units_of_mib(256)), 1},
                          {pair.b, cliff(units_of_mib(256)), 1'000'000}};
  const Plan plan = targets_by_worth(pair.tree, units_of_mib(200), holdings, worths);
  EXPECT_EQ(plan.find(pair.a)->target, units_of_mib(25));
  EXPECT_EQ(plan.find(pair.b)->target, units_of_mib(175));
  EXPECT_EQ(plan.find(pair.b)->bound, Bound::kWorth);
}

TEST(TargetsByWorth, LeaveTheUnknownTheirPlainShare) {
  const Pair pair = make_pair();
  const Worth worths[] = {{pair.a, cliff(units_of_mib(256)), 1'000'000}};
  EXPECT_EQ(targets_by_worth(pair.tree, units_of_mib(200), {}, worths).find(pair.b)->target,
            units_of_mib(100));
}

// A pool bids with the best savings of those within it, and divides what it gets by the same: of the 200 MiB
// that keen's savings bring to the pool, dull keeps a quarter of his plain share.
TEST(TargetsByWorth, GoThroughPoolsToWhoSavesMost) {
  ClientTree tree({TaxKind::kFlat, Fraction::percent(75)});
  const ClientId pool = tree.add_pool(kRoot, "pool", {}).take();
  const ClientId keen = tree.add_client(pool, "keen", units_of_mib(256), {}).take();
  const ClientId dull = tree.add_client(pool, "dull", units_of_mib(256), {}).take();
  const ClientId other = tree.add_client(kRoot, "other", units_of_mib(512), {}).take();
  const Worth worths[] = {{keen, cliff(units_of_mib(200)), 1'000'000},
                          {dull, cliff(units_of_mib(200)), 10},
                          {other, cliff(units_of_mib(400)), 1'000}};
  const Plan plan = targets_by_worth(tree, units_of_mib(512), {}, worths);
  EXPECT_EQ(plan.find(pool)->target, units_of_mib(200));
  EXPECT_EQ(plan.find(keen)->target, units_of_mib(175));
  EXPECT_EQ(plan.find(keen)->target + plan.find(dull)->target, plan.find(pool)->target);
  EXPECT_EQ(plan.find(pool)->target + plan.find(other)->target, units_of_mib(512));
}

TEST(TargetsByWorth, GiveOutAllAndKeepMinimums) {
  const u64 seed = 10'430'094;
  fmt::print("seed {}\n", seed);
  Random random(seed);
  for (int i = 0; i < 2'000; ++i) {
    const RandomHost host(random);
    std::vector<Worth> worths;
    for (const ClientId client : host.tree.clients()) {
      if (random.one_in(4)) continue;
      worths.push_back({client, cliff({1 + random.below(50)}), random.below(1000)});
    }
    const Plan plan = targets_by_worth(host.tree, host.total, host.holdings, worths);
    Units given = plan.unclaimed;
    for (const ClientId client : host.tree.clients()) {
      ASSERT_GE(plan.find(client)->target, host.tree.node(client).settings.min);
      given += plan.find(client)->target;
    }
    ASSERT_EQ(given, host.total) << "case " << i;
  }
}

}  // namespace
}  // namespace cloister::policy::memory
