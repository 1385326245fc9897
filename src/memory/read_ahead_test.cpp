// SPDX-License-Identifier: Apache-2.0
#include "memory/read_ahead.h"

#include <gtest/gtest.h>

#include <memory>

namespace cloister::memory {
namespace {

constexpr u64 kCluster = PageTable::kCluster;

// Reads clusters at random, as whoever wants a page now and then does.
struct ReadAheadTest : ::testing::Test {
  static constexpr u64 kPages = 1 << 16;
  static constexpr u64 kFirst = 0x80000;

  // Of `reads`, so many brought their cluster along; whoever asked uses `used` pages of each.
  u64 taken_along(u64 reads, u64 used) {
    u64 count = 0;
    for (u64 i = 0; i < reads; ++i, now += Nanos{1'000'000}) {
      const u64 cluster = kFirst + (++asked * 7919 % (kPages / kCluster)) * kCluster;
      for (u64 at = cluster; at < cluster + kCluster; ++at) set({at}, false);
      if (ahead.is_worth_while({cluster})) {
        ++count;
        ahead.note({cluster}, {kCluster}, now);
      }
      for (u64 at = cluster; at < cluster + used; ++at) set({at}, true);
    }
    return count;
  }
  void set(Gpn page, bool is_used) {
    const PageWord own = PageWord{}.moved_to(PageState::kPrivate);
    table.word(page) = own.with(is_used ? PageWord::kReadMarks : 0).raw;
  }

  PageTable table{GuestPhys{kFirst << kPageShift}, Bytes{kPages * kPageSize},
                  os::Mapping::anonymous({kPages * sizeof(PageWord)}, os::Protection::kReadWrite).take()};
  ReadAhead ahead{table};
  Nanos now;
  u64 asked = 0;
};

TEST_F(ReadAheadTest, WhoGoesAlongGetsTheNext) {
  ahead.is_worth_while({kFirst + 5});
  EXPECT_TRUE(ahead.is_worth_while({kFirst + 6}));
  EXPECT_TRUE(ahead.is_worth_while({kFirst + 6 + kCluster}));
  EXPECT_FALSE(ahead.is_worth_while({kFirst + 500}));
}

TEST_F(ReadAheadTest, OnePageHereAndThereComesAlone) { EXPECT_LE(taken_along(3200, 1), 110u); }

TEST_F(ReadAheadTest, WhoUsesTheNeighboursGetsThemAfterATrial) {
  EXPECT_LE(taken_along(280, kCluster), 15u) << "nobody knows yet";
  EXPECT_GE(taken_along(1000, kCluster), 800u);
  EXPECT_GE(taken_along(1000, 1 + kCluster / 3), 990u) << "a part of them is enough";
}

TEST_F(ReadAheadTest, ItEndsWhereTheyAreNotUsedAnyMore) {
  taken_along(3000, kCluster);
  taken_along(1000, 2);
  EXPECT_LE(taken_along(3200, 2), 110u);
}

}  // namespace
}  // namespace cloister::memory
