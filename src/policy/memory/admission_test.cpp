// SPDX-License-Identifier: Apache-2.0
#include "policy/memory/admission.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cloister::policy::memory {
namespace {

using ::testing::HasSubstr;

constexpr Bytes mib(u64 count) { return {count * kMiB}; }
constexpr Units units(Bytes size) { return {size.raw / kPageSize}; }

// 1000 MiB of pool, 100 of it kept free and 50 taken by cells; 600 MiB of swap space, 100 of it set aside.
const Room kRoom{mib(1000), mib(100), mib(50), mib(600), mib(100)};

Candidate candidate(Bytes size, Bytes min, ClientId parent = kRoot) {
  Candidate made{.name = "vm", .parent = parent, .size = units(size), .settings = {}};
  made.settings.min = units(min);
  made.overhead = mib(30);
  return made;
}

TEST(Admission, NeedsTheMinimumAndTheOverheadUnreserved) {
  ClientTree tree;
  const Verdict verdict = admit(tree, kRoom, candidate(mib(820), mib(820))).take();
  EXPECT_TRUE(verdict.admitted);
  EXPECT_EQ(verdict.memory_needed, mib(850));
  EXPECT_EQ(verdict.memory_free, mib(850));
  EXPECT_THAT(verdict.reason, HasSubstr("vm may start"));
  EXPECT_TRUE(tree.clients().empty());  // asking changes nothing
}

TEST(Admission, NamesTheShortfallInBytes) {
  ClientTree tree;
  Settings taken;
  taken.min = units(mib(400));
  ASSERT_TRUE(tree.add_client(kRoot, "other", units(mib(512)), taken).ok());
  const Verdict verdict = admit(tree, kRoom, candidate(mib(512), mib(421))).take();
  EXPECT_FALSE(verdict.admitted);
  EXPECT_EQ(verdict.memory_shortfall, mib(1));
  EXPECT_THAT(verdict.reason, HasSubstr("1048576 bytes of memory are lacking"));
}

TEST(Admission, NeedsSwapSpaceForWhatIsNotReservedNorSureToBeShared) {
  const ClientTree tree;
  Candidate made = candidate(mib(700), mib(100));
  EXPECT_EQ(admit(tree, kRoom, made)->swap_shortfall, mib(100));
  EXPECT_THAT(admit(tree, kRoom, made)->reason, HasSubstr("104857600 bytes of swap space"));
  made.certain_shared = mib(100);
  EXPECT_TRUE(admit(tree, kRoom, made)->admitted);
  made.certain_shared = {};
  made.settings.limit = units(mib(600));
  EXPECT_TRUE(admit(tree, kRoom, made)->admitted);
}

TEST(Admission, TakesWhatAPoolHasReservedAlready) {
  ClientTree tree;
  Settings reserved;
  reserved.min = units(mib(800));
  const ClientId pool = tree.add_pool(kRoot, "pool", reserved).take();
  EXPECT_FALSE(admit(tree, kRoom, candidate(mib(200), mib(100)))->admitted);
  const Verdict inside = admit(tree, kRoom, candidate(mib(200), mib(100), pool)).take();
  EXPECT_TRUE(inside.admitted);
  EXPECT_EQ(inside.memory_needed, mib(30));
}

TEST(Admission, RefusesWhatContradictsItselfAsAnError) {
  const ClientTree tree;
  EXPECT_THAT(admit(tree, kRoom, candidate(mib(100), mib(200))).failure().message, HasSubstr("the minimum"));
}

TEST(Admission, HoldsForChangesToo) {
  ClientTree tree;
  const ClientId vm = tree.add_client(kRoot, "vm", units(mib(900)), {}).take();
  Settings more;
  more.min = units(mib(850));
  EXPECT_TRUE(admit_change(tree, kRoom, vm, more)->admitted);
  more.min = units(mib(851));
  EXPECT_EQ(admit_change(tree, kRoom, vm, more)->memory_shortfall, mib(1));
  EXPECT_EQ(tree.node(vm).settings.min, Units{});
}

TEST(Admission, OfAPoolSmallerThanWhatIsReservedRefusesAll) {
  ClientTree tree;
  Settings all;
  all.min = units(mib(900));
  ASSERT_TRUE(tree.add_client(kRoot, "other", units(mib(900)), all).ok());
  const Verdict verdict = admit(tree, kRoom, candidate(mib(10), {})).take();
  EXPECT_FALSE(verdict.admitted);
  EXPECT_EQ(verdict.memory_free, Bytes{});
}

}  // namespace
}  // namespace cloister::policy::memory
