// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "base/random.h"
#include "memory/guest_memory.h"
#include "memory/testing_hart.h"
#include "memory/testing_host.h"

namespace cloister::memory {
namespace {

using namespace testing;
using Content = std::vector<std::byte>;

Content noise(u64 seed) {
  Random random(seed);
  Content content(kPageSize);
  for (std::byte& byte : content) byte = static_cast<std::byte>(random.next());
  return content;
}

class SharingTest : public ::testing::Test {
 protected:
  void SetUp() override { memory->set_vault(keeper.vault(), keeper); }

  void put(u64 page, const Content& content) { ASSERT_TRUE(memory->write(nth(page).address(), content)); }
  Content get(u64 page) {
    Content content(kPageSize);
    EXPECT_TRUE(memory->read(nth(page).address(), content));
    return content;
  }
  void fill_slot(u32 slot, const Content& content) {
    std::copy(content.begin(), content.end(), keeper.frame(slot));
  }
  ShareAnswer offer(u64 page, u32 slot) {
    keeper.add(slot);
    const ShareOffer offers[] = {{nth(page), slot}};
    return memory->share(offers)[0];
  }

  VaultKeeper keeper{Pages{8}};
  std::unique_ptr<GuestMemory> memory = GuestMemory::create(kBase, {16 * kPageSize}).take();
};

TEST_F(SharingTest, AlikePagesShareOneFrameAndHoldNone) {
  for (const u64 page : {1u, 5u}) put(page, noise(1));
  fill_slot(3, noise(1));
  EXPECT_EQ(offer(1, 3), ShareAnswer::kShared);
  EXPECT_EQ(offer(5, 3), ShareAnswer::kShared);
  EXPECT_EQ(keeper.references(3), 2u);
  EXPECT_EQ(memory->host(), Bytes{0});
  EXPECT_EQ(memory->usage().frames, Pages{0});
  EXPECT_EQ(get(1), noise(1));
  EXPECT_EQ(memory->state(nth(5)), PageState::kShared);
  memory->check_invariants();
}

TEST_F(SharingTest, AWriteMakesACopyAndLeavesTheOthersAlone) {
  for (const u64 page : {1u, 5u}) put(page, noise(1));
  fill_slot(3, noise(1));
  offer(1, 3);
  offer(5, 3);
  CachingHart hart(*memory);
  hart.enter();
  const u64 before = hart.load(word_at(1, 0));
  hart.store(word_at(1, 0), before + 1);
  EXPECT_EQ(hart.load(word_at(1, 0)), before + 1);
  hart.leave();
  EXPECT_EQ(get(5), noise(1));
  EXPECT_EQ(keeper.references(3), 1u);
  Content changed = noise(1);
  ++reinterpret_cast<u64*>(changed.data())[0];
  EXPECT_EQ(get(1), changed);
}

TEST_F(SharingTest, ADevicesWriteMakesACopyToo) {
  put(1, noise(1));
  fill_slot(3, noise(1));
  offer(1, 3);
  ASSERT_TRUE(memory->store<u8>(word_at(1, 0), 1));
  EXPECT_EQ(keeper.references(3), 0u);
  EXPECT_EQ(Content(keeper.frame(3), keeper.frame(3) + kPageSize), noise(1));
}

TEST_F(SharingTest, LoadsAndReadsSeeTheSharedFrame) {
  put(1, noise(1));
  fill_slot(3, noise(1));
  offer(1, 3);
  const Content content = noise(1);
  EXPECT_EQ(memory->load<u64>(word_at(1, 7)), reinterpret_cast<const u64*>(content.data())[7]);
  EXPECT_EQ(memory->state(nth(1)), PageState::kShared) << "looking takes no frame";
}

TEST_F(SharingTest, ALieCostsAReferenceThatComesBack) {
  put(1, noise(1));
  fill_slot(3, noise(2));
  EXPECT_EQ(offer(1, 3), ShareAnswer::kDiffers);
  EXPECT_EQ(keeper.all_references(), 0u);
  EXPECT_EQ(get(1), noise(1));
  memory->check_invariants();
}

TEST_F(SharingTest, WhatMakesNoSenseIsRefused) {
  put(1, noise(1));
  EXPECT_EQ(offer(1, 8), ShareAnswer::kRefused) << "no such slot";
  EXPECT_EQ(offer(2, 3), ShareAnswer::kRefused) << "a zero page has nothing to share";
  EXPECT_EQ(offer(999, 3), ShareAnswer::kRefused) << "no memory";
  EXPECT_EQ(keeper.all_references(), 0u);
}

TEST_F(SharingTest, OfTwoOffersForAPageOneCounts) {
  put(1, noise(1));
  fill_slot(3, noise(1));
  fill_slot(4, noise(1));
  for (const u32 slot : {3u, 4u}) keeper.add(slot);
  const ShareOffer offers[] = {{nth(1), 3}, {nth(1), 4}};
  const auto answers = memory->share(offers);
  EXPECT_EQ(answers[0], ShareAnswer::kShared);
  EXPECT_EQ(answers[1], ShareAnswer::kBusy);
  EXPECT_EQ(keeper.references(3), 1u);
  EXPECT_EQ(keeper.references(4), 0u);
}

TEST_F(SharingTest, APinnedPageIsBusy) {
  put(1, noise(1));
  fill_slot(3, noise(1));
  memory->with_pinned(nth(1).address(), {8}, Access::kRead, [&](auto) {
    EXPECT_EQ(offer(1, 3), ShareAnswer::kBusy);
    return true;
  });
  EXPECT_EQ(offer(1, 3), ShareAnswer::kShared);
}

TEST_F(SharingTest, GivingAPageUpGivesItsReferenceBack) {
  put(1, noise(1));
  fill_slot(3, noise(1));
  offer(1, 3);
  const Gpn pages[] = {nth(1)};
  EXPECT_EQ(memory->discard(pages), Pages{1});
  EXPECT_EQ(keeper.references(3), 0u);
  EXPECT_EQ(get(1), Content(kPageSize));
}

TEST_F(SharingTest, HashesTellPagesApartAndTouchNothing) {
  for (const u64 page : {1u, 5u}) put(page, noise(1));
  put(2, noise(2));
  const std::vector<Gpn> pages{nth(1), nth(5), nth(2), nth(9), nth(999)};
  memory->take_touched(pages);
  const auto hashes = memory->hash(pages);
  EXPECT_TRUE(hashes[0] && hashes[0] == hashes[1] && hashes[2] && hashes[0] != hashes[2]);
  EXPECT_FALSE(hashes[3] || hashes[4]) << "only private pages have a hash";
  EXPECT_EQ(memory->take_touched(pages), std::vector<bool>(5));
}

TEST(Vault, IsRefusedWhenItCouldBeWritten) {
  const auto file = os::MemFile::create("vault", {4 * kPageSize}).take();
  EXPECT_TRUE(Vault::map(file.read_only().take(), {4}).ok());
  EXPECT_FALSE(Vault::map(file.read_only().take(), {5}).ok()) << "longer than the file";
  EXPECT_FALSE(Vault::map(file.read_only().take(), {0}).ok());
  EXPECT_FALSE(os::is_writable(file.read_only().take()).value());
  EXPECT_TRUE(os::is_writable(file.fd()).value());
}

}  // namespace
}  // namespace cloister::memory
