// SPDX-License-Identifier: Apache-2.0
#include "sim/series.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace cloister::sim {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Series example() {
  Series series;
  series.duration = minutes(2);
  series.host_samples = {{{}, {100}, policy::memory::HostState::kHigh},
                         {minutes(1), {1}, policy::memory::HostState::kHard}};
  GuestSeries guest{"<web & co>", {256}, {64}, {}};
  guest.samples.push_back({{}, {10}, {20}, {30}, {40}, 2'500, policy::memory::Fraction::percent(50)});
  guest.samples.push_back({minutes(1), {11}, {20}, {30}, {40}, 1'250, policy::memory::Fraction::whole()});
  series.guests.push_back(guest);
  return series;
}

TEST(Series, AreWrittenAsRows) {
  EXPECT_EQ(to_csv(example()),
            "0,0,<web & co>,1048576,262144,40960,81920,122880,163840,2.500,0.500000,high\n"
            "0,60,<web & co>,1048576,262144,45056,81920,122880,163840,1.250,1.000000,hard\n");
  const std::string head = csv_head();
  EXPECT_EQ(std::count(head.begin(), head.end(), ','), 11);
}

TEST(Series, AreDrawn) {
  const std::string svg = to_svg(example(), "a < b");
  EXPECT_THAT(svg, HasSubstr("a &lt; b"));
  EXPECT_THAT(svg, HasSubstr("&lt;web &amp; co>"));
  EXPECT_THAT(svg, Not(HasSubstr("nan")));
  EXPECT_THAT(svg, HasSubstr("</svg>"));
}

TEST(Series, OfNobodyIsDrawnToo) {
  EXPECT_THAT(to_svg({0, minutes(1), {}, {}}, "none"), HasSubstr("</svg>"));
}

}  // namespace
}  // namespace cloister::sim
