// SPDX-License-Identifier: Apache-2.0
#include "policy/memory/client_tree.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "policy/memory/testing_units.h"

namespace cloister::policy::memory {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Settings with_min(Units min) {
  Settings settings;
  settings.min = min;
  return settings;
}

TEST(Shares, AreWordsOrNumbers) {
  EXPECT_EQ(parse_shares("high").take(), ShareSetting(ShareLevel::kHigh));
  EXPECT_EQ(parse_shares("1500").take(), ShareSetting(Shares{1500}));
  for (const char* wrong : {"", "0", "-1", "highest", "4294967297", "1.5", "12 "})
    EXPECT_THAT(parse_shares(wrong).failure().message, HasSubstr(fmt::format("'{}'", wrong)));
  EXPECT_EQ(format_shares(ShareLevel::kLow), "low");
  EXPECT_EQ(format_shares(Shares{7}), "7");
}

TEST(ClientTree, CountsSharesByTheMiB) {
  ClientTree tree;
  Settings high;
  high.shares = ShareLevel::kHigh;
  const ClientId small = tree.add_client(kRoot, "small", units_of_mib(512), {}).take();
  const ClientId large = tree.add_client(kRoot, "large", units_of_mib(1024), high).take();
  const ClientId tiny = tree.add_client(kRoot, "tiny", {1}, {}).take();
  EXPECT_EQ(tree.shares(small), Shares{1024});
  EXPECT_EQ(tree.shares(large), Shares{4096});
  EXPECT_EQ(tree.shares(tiny), Shares{2});
}

TEST(ClientTree, TakesTheTaxFromThePoolAbove) {
  ClientTree tree({TaxKind::kFlat, Fraction::percent(75)});
  Settings gentle;
  gentle.tax_rate = Fraction::percent(50);
  Settings progressive;
  progressive.tax_kind = TaxKind::kProgressive;
  const ClientId pool = tree.add_pool(kRoot, "pool", gentle).take();
  const ClientId inside = tree.add_client(pool, "inside", units_of_mib(1), progressive).take();
  const ClientId outside = tree.add_client(kRoot, "outside", units_of_mib(1), {}).take();
  EXPECT_EQ(tree.tax(inside).rate, Fraction::percent(50));
  EXPECT_EQ(tree.tax(inside).kind, TaxKind::kProgressive);
  EXPECT_EQ(tree.tax(outside).rate, Fraction::percent(75));
}

TEST(ClientTree, ReservesAPoolsMinimumOnce) {
  ClientTree tree;
  const ClientId pool = tree.add_pool(kRoot, "pool", with_min(units_of_mib(100))).take();
  EXPECT_EQ(tree.reserved(kRoot), units_of_mib(100));
  EXPECT_EQ(tree.guaranteed(kRoot), Units{});  // nobody is there to hold it
  const ClientId a = tree.add_client(pool, "a", units_of_mib(256), with_min(units_of_mib(60))).take();
  EXPECT_EQ(tree.reserved(kRoot), units_of_mib(100));
  const ClientId b = tree.add_client(pool, "b", units_of_mib(256), with_min(units_of_mib(60))).take();
  EXPECT_EQ(tree.reserved(kRoot), units_of_mib(120));
  ASSERT_TRUE(tree.remove(a).ok());
  ASSERT_TRUE(tree.remove(b).ok());
  EXPECT_EQ(tree.reserved(kRoot), units_of_mib(100));
  EXPECT_EQ(tree.node(kRoot).size, Units{});
}

TEST(ClientTree, RefusesWhatContradictsItself) {
  ClientTree tree;
  const auto refusal = [&](const Settings& settings) {
    const auto added = tree.add_client(kRoot, "vm", units_of_mib(256), settings);
    return added.ok() ? std::string("added") : added.failure().message;
  };
  Settings settings = with_min(units_of_mib(257));
  EXPECT_THAT(refusal(settings), HasSubstr("vm: the minimum"));
  settings = with_min(units_of_mib(100));
  settings.limit = units_of_mib(99);
  EXPECT_THAT(refusal(settings), HasSubstr("over the limit"));
  settings = {};
  settings.limit = Units{0};
  EXPECT_THAT(refusal(settings), HasSubstr("limit of 0"));
  settings = {};
  settings.shares = Shares{0};
  EXPECT_THAT(refusal(settings), HasSubstr("0 shares"));
  settings.shares = kMaxShares + Shares{1};
  EXPECT_THAT(refusal(settings), HasSubstr("shares; give 1 to"));
  settings = {};
  settings.tax_rate = Fraction{990'001};
  EXPECT_THAT(refusal(settings), HasSubstr("idle tax of 99.0001 %"));
  EXPECT_THAT(refusal(with_min({~u64{0}})), HasSubstr("at most"));
  EXPECT_TRUE(tree.clients().empty());
}

TEST(ClientTree, RefusesNamesThatAreTakenAndSizesThatOverflow) {
  ClientTree tree;
  const ClientId vm = tree.add_client(kRoot, "vm", units_of_mib(256), {}).take();
  EXPECT_THAT(tree.add_pool(kRoot, "vm", {}).failure().message, HasSubstr("vm is there already"));
  EXPECT_THAT(tree.add_client(kRoot, "", units_of_mib(1), {}).failure().message, HasSubstr("without a name"));
  EXPECT_THAT(tree.add_client(kRoot, "none", {}, {}).failure().message, HasSubstr("size of 0"));
  EXPECT_THAT(tree.add_client(kRoot, "huge", {~u64{0}}, {}).failure().message, HasSubstr("can be counted"));
  EXPECT_THAT(tree.add_client(kRoot, "huge", kMaxUnits, {}).failure().message, HasSubstr("beside the 65536"));
  EXPECT_THAT(tree.add_client(vm, "under", units_of_mib(1), {}).failure().message, HasSubstr("not a pool"));
  EXPECT_THAT(tree.add_client({99}, "under", units_of_mib(1), {}).failure().message, HasSubstr("not a pool"));
}

TEST(ClientTree, KeepsMinimumsWithinTheLimitsAbove) {
  ClientTree tree;
  Settings limited;
  limited.limit = units_of_mib(100);
  const ClientId pool = tree.add_pool(kRoot, "pool", limited).take();
  const ClientId a = tree.add_client(pool, "a", units_of_mib(256), with_min(units_of_mib(60))).take();
  EXPECT_THAT(tree.add_client(pool, "b", units_of_mib(256), with_min(units_of_mib(60))).failure().message,
              HasSubstr("over its limit"));
  EXPECT_EQ(tree.find("b"), std::nullopt);
  EXPECT_FALSE(tree.change(a, with_min(units_of_mib(101))).ok());
  EXPECT_EQ(tree.node(a).settings.min, units_of_mib(60));
  limited.limit = units_of_mib(59);
  EXPECT_THAT(tree.change(pool, limited).failure().message, HasSubstr("under the minimums"));
}

TEST(ClientTree, UsesAPlaceAgainButEndsNoPoolWithClients) {
  ClientTree tree;
  const ClientId pool = tree.add_pool(kRoot, "pool", {}).take();
  const ClientId vm = tree.add_client(pool, "vm", units_of_mib(1), {}).take();
  EXPECT_THAT(tree.remove(pool).failure().message, HasSubstr("still holds vm"));
  EXPECT_FALSE(tree.remove(kRoot).ok());
  ASSERT_TRUE(tree.remove(vm).ok());
  EXPECT_FALSE(tree.contains(vm));
  EXPECT_EQ(tree.add_client(pool, "next", units_of_mib(1), {}).take(), vm);
  EXPECT_THAT(tree.clients(), ElementsAre(vm));
}

TEST(ClientTree, CapsAPoolByItsLimitOrWhatIsWithin) {
  ClientTree tree;
  Settings limited;
  limited.limit = units_of_mib(100);
  const ClientId pool = tree.add_pool(kRoot, "pool", limited).take();
  EXPECT_EQ(tree.cap(pool), Units{});
  ASSERT_TRUE(tree.add_client(pool, "a", units_of_mib(64), {}).ok());
  EXPECT_EQ(tree.cap(pool), units_of_mib(64));
  ASSERT_TRUE(tree.add_client(pool, "b", units_of_mib(64), {}).ok());
  EXPECT_EQ(tree.cap(pool), units_of_mib(100));
}

}  // namespace
}  // namespace cloister::policy::memory
