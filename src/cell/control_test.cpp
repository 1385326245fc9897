// SPDX-License-Identifier: Apache-2.0
#include "cell/control.h"

#include <gtest/gtest.h>

#include <cstring>

#include "base/random.h"

namespace cloister::cell::control {
namespace {

TEST(Control, WhatWasSaidIsHeard) {
  Report report;
  report.sequence = 7;
  report.used_pages = 123;
  const auto heard = decode(encode(Message(report)));
  ASSERT_TRUE(heard.has_value());
  ASSERT_TRUE(std::holds_alternative<Report>(*heard));
  EXPECT_EQ(std::get<Report>(*heard).sequence, 7u);
  EXPECT_EQ(std::get<Report>(*heard).used_pages, 123u);
}

TEST(Control, RefusesWhatIsCutOrTooLong) {
  auto packet = encode(Message(Grant{5}));
  auto longer = packet;
  longer.push_back(std::byte{0});
  EXPECT_FALSE(decode(longer).has_value());
  for (std::size_t size = 0; size < packet.size(); ++size) {
    EXPECT_FALSE(decode(std::span(packet).first(size)).has_value()) << size;
  }
}

TEST(Control, RefusesCountsBeyondTheirArrays) {
  Hashes hashes;
  hashes.count = kMostHashes;
  EXPECT_TRUE(decode(encode(Message(hashes))).has_value());
  hashes.count = kMostHashes + 1;
  EXPECT_FALSE(decode(encode(Message(hashes))).has_value());
  Share share;
  share.count = kMostOffers + 1;
  EXPECT_FALSE(decode(encode(Message(share))).has_value());
  Unshared back;
  back.count = ~0u;
  EXPECT_FALSE(decode(encode(Message(back))).has_value());
}

TEST(Control, AnyBytesAreAMessageOrNone) {
  constexpr u64 kSeed = 11;
  SCOPED_TRACE(kSeed);
  Random random(kSeed);
  for (int i = 0; i < 20'000; ++i) {
    auto packet = encode(i % 2 == 0 ? Message(Want{}) : Message(Ended{}));
    for (int change = 0; change < 3; ++change) {
      packet[random.below(packet.size())] = static_cast<std::byte>(random.next());
    }
    packet.resize(random.one_in(4) ? random.below(packet.size() + 1) : packet.size());
    const auto heard = decode(packet);
    if (heard) {
      EXPECT_EQ(encode(*heard).size(), packet.size());
    }
  }
}

TEST(Control, TextsAreBoundedAndPrintable) {
  Ended ended;
  set_text(ended.reason, std::string(1000, 'x'));
  EXPECT_EQ(text_of(ended.reason).size(), kReasonBytes - 1);
  set_text(ended.reason, "a\x1b[2Jb\n");
  EXPECT_EQ(text_of(ended.reason), "a?[2Jb?");
  std::memset(ended.reason, 'y', sizeof ended.reason);  // no zero at all
  EXPECT_EQ(text_of(ended.reason).size(), kReasonBytes);
}

}  // namespace
}  // namespace cloister::cell::control
