// SPDX-License-Identifier: Apache-2.0
#include "memory/compressed_store.h"

#include <gtest/gtest.h>

#include <map>

#include "base/random.h"
#include "memory/testing_host.h"

namespace cloister::memory {
namespace {

using testing::Pool;
using PageContent = std::array<std::byte, kPageSize>;

// `noise` bytes that cannot be packed, and then a pattern of its own.
PageContent page(u64 seed, std::size_t noise) {
  PageContent content;
  Random random(seed);
  for (std::size_t i = 0; i < kPageSize; ++i)
    content[i] = static_cast<std::byte>(i < noise ? random.next() : seed + i / 64);
  return content;
}

class CompressedStoreTest : public ::testing::Test {
 protected:
  static constexpr u64 kPages = 4000;

  void SetUp() override { stock.set_source(&pool); }

  u32 put(const PageContent& content, u32 owner = 0) {
    std::array<std::byte, kMostPacked> packed;
    const std::size_t size = pack(Codec::kLz4, content, packed);
    CHECK(size != 0);
    Pages credit = stock.take({1});
    const u32 handle = store->put(owner, Codec::kLz4, std::span(packed).first(size), credit);
    stock.put(credit);
    return handle;
  }
  PageContent get(u32 handle) {
    PageContent content;
    store->get(handle, content);
    return content;
  }

  Pool pool{Pages{kPages}};
  FrameStock stock;
  std::unique_ptr<CompressedStore> store = CompressedStore::create({kPages}, stock).take();
};

TEST_F(CompressedStoreTest, GivesBackWhatWasPut) {
  const u32 one = put(page(1, 0)), two = put(page(2, 2000));
  EXPECT_EQ(get(one), page(1, 0));
  EXPECT_EQ(get(two), page(2, 2000));
  EXPECT_EQ(store->packed(), Pages{2});
  store->check_invariants();
}

TEST_F(CompressedStoreTest, PacksSeveralPagesIntoOneFrame) {
  for (u64 i = 0; i < 100; ++i) put(page(i, 0));
  EXPECT_LT(store->frames().raw, 10u);
  store->check_invariants();
}

TEST_F(CompressedStoreTest, HoldsNothingWhenAllIsDropped) {
  std::vector<u32> handles;
  for (u64 i = 0; i < 500; ++i) handles.push_back(put(page(i, i * 4)));
  EXPECT_GT(store->allocated().raw, 0u);
  for (const u32 handle : handles) store->drop(handle);
  EXPECT_EQ(store->frames(), Pages{0});
  EXPECT_EQ(store->allocated(), Bytes{0});
  stock.begin_shrinking();
  EXPECT_EQ(pool.free(), Pages{kPages});
}

TEST_F(CompressedStoreTest, AFrameComesBackThoughEachHoldsAPageThatStays) {
  std::vector<u32> handles;
  for (u64 i = 0; i < 2000; ++i) handles.push_back(put(page(i, 1500)));
  const Pages full = store->frames();
  for (u64 i = 0; i < 2000; ++i) {
    if (i % 8 != 0) store->drop(handles[i]);
  }
  EXPECT_LT(store->frames().raw, full.raw / 4) << "the eighth that is left, some waste and the slack";
  EXPECT_LE(store->allocated(), bytes_of(store->frames()));
  for (u64 i = 0; i < 2000; i += 8) EXPECT_EQ(get(handles[i]), page(i, 1500));
  store->check_invariants();
}

TEST_F(CompressedStoreTest, CondensingKeepsContentAndWinsFrames) {
  std::vector<u32> handles;
  const auto text = [](u64 seed) {  // words in random order: lz4 finds them, zstd also counts them
    PageContent content;
    Random random(seed);
    for (std::size_t i = 0; i < kPageSize; ++i) content[i] = static_cast<std::byte>('a' + random.below(12));
    for (std::size_t i = kPageSize / 2; i < kPageSize; ++i) content[i] = content[i - kPageSize / 2];
    return content;
  };
  for (u64 i = 0; i < 300; ++i) handles.push_back(put(text(i)));
  const Pages before = store->frames();
  const auto [tried, freed] = store->condense({1000});
  EXPECT_GT(tried.raw, 200u);
  EXPECT_GT(freed.raw, before.raw / 8);
  EXPECT_EQ(store->frames() + freed, before);
  for (u64 i = 0; i < 300; ++i) EXPECT_EQ(get(handles[i]), text(i));
  store->check_invariants();
  EXPECT_EQ(store->condense({1000}).tried, Pages{0}) << "nothing is tried twice";
}

TEST_F(CompressedStoreTest, CondensesNothingWithoutAFrameToBeginWith) {
  for (u64 i = 0; i < 300; ++i) put(page(i, 1000));
  stock.begin_shrinking();
  pool.close();
  EXPECT_EQ(store->condense({1000}).tried, Pages{0});
}

TEST_F(CompressedStoreTest, SaysWhenThereIsNoRoomAndWhenThereIsAgain) {
  store = CompressedStore::create({160}, stock).take();
  std::vector<u32> handles;
  while (store->has_room()) handles.push_back(put(page(handles.size(), 2000)));
  EXPECT_GT(store->frames().raw, 150u);
  EXPECT_LT(store->frames().raw, 200u);
  for (u64 i = 0; i < 1000; ++i) handles.push_back(put(page(i, 2700)));
  for (const u32 handle : handles) store->drop(handle);
  EXPECT_TRUE(store->has_room());
  store->check_invariants();
}

TEST_F(CompressedStoreTest, NamesTheOldestFirst) {
  for (u32 i = 0; i < 300; ++i) put(page(i, 1000), i);
  const std::vector<u32> oldest = store->oldest(20);
  ASSERT_EQ(oldest.size(), 20u);
  for (u32 i = 0; i < 20; ++i) EXPECT_EQ(oldest[i], i);
}

TEST_F(CompressedStoreTest, StandsAgainstRandomUse) {
  const u64 seed = testing::chosen_seed();
  Random random(seed);
  std::map<u32, std::pair<u64, std::size_t>> kept;
  for (u64 i = 0; i < 20'000; ++i) {
    if (kept.size() < 200 || random.one_in(2)) {
      const std::size_t noise = random.below(2800);
      const u32 handle = put(page(i, noise));
      ASSERT_TRUE(kept.emplace(handle, std::pair(i, noise)).second);
    }
    const auto at = kept.lower_bound(static_cast<u32>(random.below(300)));
    if (at != kept.end()) {
      ASSERT_EQ(get(at->first), page(at->second.first, at->second.second));
      if (random.one_in(2) || kept.size() > 400) {
        store->drop(at->first);
        kept.erase(at);
      }
    }
    if (random.one_in(500)) store->condense({random.below(50)});
    if (random.one_in(1000)) store->check_invariants();
    ASSERT_LE(store->frames().raw * kPageSize, store->live().raw * 7 / 5 + 80 * kPageSize);
  }
  for (const auto& [handle, what] : kept) EXPECT_EQ(get(handle), page(what.first, what.second));
}

TEST(Codec, RefusesWhatDoesNotGetSmaller) {
  std::array<std::byte, kMostPacked> packed;
  EXPECT_EQ(pack(Codec::kLz4, page(1, kPageSize), packed), 0u);
  EXPECT_EQ(pack(Codec::kZstd, page(1, kPageSize), packed), 0u);
}

TEST(Codec, BothGiveBackWhatTheyPacked) {
  for (const Codec codec : {Codec::kLz4, Codec::kZstd}) {
    for (std::size_t noise = 0; noise < 2800; noise += 100) {
      std::array<std::byte, kMostPacked> packed;
      PageContent content;
      const std::size_t size = pack(codec, page(noise, noise), packed);
      ASSERT_NE(size, 0u);
      unpack(codec, std::span(packed).first(size), content);
      EXPECT_EQ(content, page(noise, noise));
    }
  }
}

}  // namespace
}  // namespace cloister::memory
