// SPDX-License-Identifier: Apache-2.0
#include "machine/profile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cloister::machine {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

const Symbols kSymbols{
    "ffffffff80001000 T start\n"
    "ffffffff80003000 t middle [module]\n"
    "nonsense\n"
    "0000000000000000 T hidden\n"
    "ffffffff80002000 D data\n"
    "ffffffff80002800 W weak\n"};

TEST(Symbols, NameTheFunctionThatAnAddressLiesIn) {
  EXPECT_EQ(kSymbols.name_of(0xffffffff80001000), "start");
  EXPECT_EQ(kSymbols.name_of(0xffffffff800027ff), "start");
  EXPECT_EQ(kSymbols.name_of(0xffffffff80002800), "weak");
  EXPECT_EQ(kSymbols.name_of(0xffffffff80003001), "middle");
}

TEST(Symbols, GiveThePageWhereTheyKnowNothing) {
  EXPECT_EQ(kSymbols.name_of(0x12345), "0x12000");
  EXPECT_EQ(kSymbols.name_of(0xffffffff90001234), "0xffffffff90001000");
  EXPECT_EQ(Symbols().name_of(0x80001234), "0x80001000");
}

TEST(Profile, PutsTheFunctionWithMostSamplesFirst) {
  Samples samples;
  samples.add(0xffffffff80002900, true);
  for (int i = 0; i < 3; ++i) samples.add(0xffffffff80001004 + 8 * static_cast<u64>(i), true);
  samples.add(0x10010, false);
  Profile profile;
  profile.add(samples, kSymbols);
  const std::string text = profile.text();
  EXPECT_THAT(text, HasSubstr("60.00  start"));
  EXPECT_THAT(text, HasSubstr("20.00  user 0x10000"));
  EXPECT_LT(text.find("start"), text.find("weak"));
}

TEST(Profile, CountsExitsByReason) {
  hart::Tally tally;
  tally.exceptions[8] = 5;
  tally.walks = 7;
  Profile profile;
  profile.add(tally);
  EXPECT_THAT(profile.text(), HasSubstr("5  exception 8"));
  EXPECT_THAT(profile.text(), HasSubstr("7  page-table walks"));
  EXPECT_THAT(profile.text(), Not(HasSubstr("exception 9")));
}

}  // namespace
}  // namespace cloister::machine
