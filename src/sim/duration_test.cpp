// SPDX-License-Identifier: Apache-2.0
#include "sim/duration.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cloister::sim {
namespace {

TEST(Duration, IsAWholeNumberAndAUnit) {
  EXPECT_EQ(parse_duration("90s").take(), seconds(90));
  EXPECT_EQ(parse_duration("250ms").take(), milliseconds(250));
  EXPECT_EQ(parse_duration("2h").take(), minutes(120));
  EXPECT_EQ(parse_duration("365d").take(), hours(8760));
}

TEST(Duration, RefusesAnythingElseByName) {
  for (const char* wrong : {"", "s", "10", "1.5h", "-3s", "10 s", "366d", "99999999999999999999s"})
    EXPECT_THAT(parse_duration(wrong).failure().message, testing::HasSubstr(fmt::format("'{}'", wrong)));
}

TEST(Duration, IsWrittenInItsLargestUnit) {
  EXPECT_EQ(format_duration(seconds(90)), "90s");
  EXPECT_EQ(format_duration(hours(48)), "2d");
  EXPECT_EQ(format_duration({}), "0ms");
  EXPECT_EQ(clock_time(seconds(3930)), "1:05:30");
}

}  // namespace
}  // namespace cloister::sim
