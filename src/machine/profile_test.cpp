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
    "ffffffff80002800 W weak\n"
    "0000000000200400 T main\n"};

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
  for (int i = 0; i < 5; ++i) samples.add(0x200404, false);
  Profile profile;
  profile.add(samples, kSymbols);
  const std::string text = profile.text();
  EXPECT_THAT(text, HasSubstr("30.00           0  start"));
  EXPECT_THAT(text, HasSubstr("10.00           0  user 0x10000"));
  EXPECT_THAT(text, HasSubstr("50.00           0  user main"));
  EXPECT_LT(text.find("start"), text.find("weak"));
}

// What was made of a piece that lies in two functions, each has its part of.
TEST(Profile, TellsHowMuchMachineCodeAFunctionHas) {
  Samples samples;
  samples.add(0xffffffff80002000, true);
  samples.add(0xffffffff80002900, true);
  samples.add(0x10010, false);
  Profile profile;
  profile.add(samples, kSymbols);
  profile.add({{0xffffffff80002790, 0xffffffff80002830, true, 1000},
               {0xffffffff80002000, 0xffffffff80002010, true, 50},
               {0x10020, 0x10030, false, 70},
               {0x30000, 0x30010, false, 9}},
              kSymbols);
  const std::string text = profile.text();
  EXPECT_THAT(text, HasSubstr(" 750  start"));
  EXPECT_THAT(text, HasSubstr(" 300  weak"));
  EXPECT_THAT(text, HasSubstr(" 70  user 0x10000"));
  EXPECT_THAT(text, Not(HasSubstr("0x30000")));
}

TEST(Profile, CountsExitsByReason) {
  hart::Tally tally;
  tally.exceptions[8] = 5;
  tally.interrupts[5] = 6;
  tally.walks = 7;
  Profile profile;
  profile.add(tally);
  EXPECT_THAT(profile.text(), HasSubstr("5  environment call from U-mode"));
  EXPECT_THAT(profile.text(), HasSubstr("6  supervisor timer interrupt"));
  EXPECT_THAT(profile.text(), HasSubstr("7  page-table walks"));
  EXPECT_THAT(profile.text(), Not(HasSubstr("environment call from S-mode")));
}

}  // namespace
}  // namespace cloister::machine
