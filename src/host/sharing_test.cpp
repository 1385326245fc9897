// SPDX-License-Identifier: Apache-2.0
#include "host/sharing.h"

#include <gtest/gtest.h>
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>

#include "base/os/clock.h"
#include "host/testing_town.h"

namespace cloister::host {
namespace {

using namespace cell::control;
using testing::FakeCell;
using testing::Town;

constexpr Bytes kSharingPool{256 * kMiB};
constexpr u64 kPages = 20;  // that both cells have alike; so few that a socket holds their contents

std::array<std::byte, kPageSize> content_of(u64 page) {
  std::array<std::byte, kPageSize> content{};
  std::memcpy(content.data(), &page, sizeof page);
  return content;
}

// Tells the hashes of its first pages, once, and shows them.
void share_first_pages(FakeCell& cell, std::vector<u32>& offered, u64& messages) {
  cell.listen([&, told = false](const Message& message) mutable {
    if (const auto* order = std::get_if<HashPages>(&message)) {
      Hashes hashes;
      hashes.order = order->order;
      for (u64 page = 0; page < kPages && !told; ++page)
        hashes.pages[hashes.count++] = {page, XXH3_64bits(content_of(page).data(), kPageSize)};
      told = true;
      cell.say(hashes);
    }
    if (const auto* read = std::get_if<ReadPage>(&message)) {
      Content content{read->order, read->page, 1, 0, {}};
      std::ranges::copy(content_of(read->page), content.bytes);
      cell.say(content);
    }
    if (const auto* share = std::get_if<Share>(&message)) {
      ++messages;
      for (u64 i = 0; i < share->count; ++i) offered.push_back(share->offers[i].frame);
    }
  });
}

TEST(Sharing, LikePagesAreOfferedToBothAndTheirFramesLastAsLongAsTheyAreReferredTo) {
  Town town(kSharingPool);
  ASSERT_TRUE(town.launch("a", {{"memory", "64MiB"}, {"trust-group", "friends"}}));
  ASSERT_TRUE(town.launch("b", {{"memory", "64MiB"}, {"trust-group", "friends"}}));
  std::vector<u32> of_a, of_b;
  u64 to_a = 0, to_b = 0;
  share_first_pages(town.cell("a"), of_a, to_a);
  share_first_pages(town.cell("b"), of_b, to_b);
  ASSERT_TRUE(town.run_until([&] { return of_a.size() == kPages && of_b.size() == kPages; }));
  EXPECT_EQ(town.host->governor().vault_frames(), Pages{kPages});
  town.host->check_invariants();

  const auto give_back = [&](FakeCell& cell, const std::vector<u32>& frames) {
    Unshared back;
    for (const u32 frame : frames) back.frames[back.count++] = frame;
    cell.say(back);
    town.run_for(std::chrono::milliseconds(20));
  };
  give_back(town.cell("a"), of_a);
  EXPECT_EQ(town.host->governor().vault_frames(), Pages{kPages}) << "the other has them still";
  give_back(town.cell("b"), of_b);
  EXPECT_EQ(town.host->governor().vault_frames(), Pages{});
  town.host->check_invariants();
}

TEST(Sharing, WhatCellsSayThatItTookThemIsPaidOutOfTheBudget) {
  constexpr u32 kMicros = 3000;
  Town town(kSharingPool);
  ASSERT_TRUE(town.change_settings({{"scan-share", "2"}}));
  for (const char* name : {"a", "b", "c"}) ASSERT_TRUE(town.launch(name, {{"memory", "64MiB"}}));
  u64 answers = 0;
  for (const char* name : {"a", "b", "c"}) {
    FakeCell& cell = town.cell(name);
    cell.listen([&](const Message& message) {
      const auto* order = std::get_if<HashPages>(&message);
      if (order == nullptr) return;
      town.loop->after(std::chrono::microseconds(kMicros), [&, order = order->order] {
        ++answers;
        cell.say(Hashes{order, 0, kMicros, {}});
      });
    });
  }
  const Nanos begin = os::monotonic_now();
  town.run_for(std::chrono::milliseconds(1500));
  const u64 share_micros = (os::monotonic_now() - begin).raw / 1000 * 2 / 100;
  EXPECT_GE(answers, 3u);
  // What was saved up, and three answers that came after the budget was spent.
  EXPECT_LE(answers * kMicros, share_micros + 20'000 + 3 * kMicros);
}

}  // namespace
}  // namespace cloister::host
