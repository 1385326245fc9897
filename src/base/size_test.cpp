// SPDX-License-Identifier: Apache-2.0
#include "base/size.h"

#include <gtest/gtest.h>

namespace cloister {
namespace {

TEST(Size, ReadsBinaryUnitsWithAndWithoutTheirTail) {
  EXPECT_EQ(parse_size("512MiB")->raw, 512 * kMiB);
  EXPECT_EQ(parse_size("2 GiB")->raw, 2 * kGiB);
  EXPECT_EQ(parse_size("1g")->raw, kGiB);
  EXPECT_EQ(parse_size("4096")->raw, 4096u);
}

TEST(Size, RefusesNonsenseNamingIt) {
  for (const char* text : {"", "MiB", "1.5G", "-1", "1GB", "1 X", "1GiB "}) {
    const auto size = parse_size(text);
    ASSERT_FALSE(size.ok()) << text;
    EXPECT_NE(size.failure().message.find(text), std::string::npos);
  }
}

TEST(Size, RefusesWhatDoesNotFit) {
  EXPECT_FALSE(parse_size("99999999999999999999").ok());
  EXPECT_FALSE(parse_size("16777216TiB").ok());
  EXPECT_TRUE(parse_size("16777215TiB").ok());
}

TEST(Number, IsWholeAndWithinItsBounds) {
  EXPECT_EQ(*parse_number("cpus", "64", 1, 64), 64u);
  for (const char* text : {"", "0", "65", "1.5", "-1", "4 ", "99999999999999999999"}) {
    const auto number = parse_number("cpus", text, 1, 64);
    ASSERT_FALSE(number.ok()) << text;
    EXPECT_EQ(number.failure().message, fmt::format("cpus '{}' is not a whole number from 1 to 64", text));
  }
}

TEST(Size, IsWrittenInTheLargestUnitThatIsExact) {
  EXPECT_EQ(format_size({512 * kMiB}), "512 MiB");
  EXPECT_EQ(format_size({1536 * kMiB}), "1536 MiB");
  EXPECT_EQ(format_size({4097}), "4097 bytes");
  EXPECT_EQ(format_size({0}), "0 bytes");
}

}  // namespace
}  // namespace cloister
