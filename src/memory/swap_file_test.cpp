// SPDX-License-Identifier: Apache-2.0
#include "memory/swap_file.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <vector>

#include "base/os/file.h"
#include "base/random.h"
#include "memory/page_copy.h"
#include "memory/testing_host.h"

namespace cloister::memory {
namespace {

using testing::make_swap;

TEST(SwapFile, ReadsBackWhatWasWritten) {
  const auto swap = make_swap({16});
  std::vector<PageCopy> pages(3), back(3);
  for (std::size_t i = 0; i < pages.size(); ++i) pages[i].bytes.fill(static_cast<std::byte>(i + 1));
  const auto run = swap->take(3);
  ASSERT_TRUE(run && run->count == 3);
  ASSERT_TRUE(swap->write(run->first, std::as_bytes(std::span(pages))).ok());
  ASSERT_TRUE(swap->read(run->first, std::as_writable_bytes(std::span(back))).ok());
  for (std::size_t i = 0; i < pages.size(); ++i) EXPECT_EQ(back[i].bytes, pages[i].bytes);
  EXPECT_EQ(swap->counts().written, Pages{3});
  EXPECT_EQ(swap->counts().read, Pages{3});
}

TEST(SwapFile, HandsOutEachSlotOnceUntilItIsFull) {
  const auto swap = make_swap({100});
  std::vector<bool> seen(100);
  while (const auto run = swap->take(7)) {
    for (u32 i = 0; i < run->count; ++i) {
      ASSERT_LT(run->first + i, 100u);
      EXPECT_FALSE(seen[run->first + i]);
      seen[run->first + i] = true;
    }
  }
  EXPECT_EQ(swap->used(), Pages{100});
  EXPECT_EQ(std::count(seen.begin(), seen.end(), true), 100);
}

TEST(SwapFile, FindsAFreeSlotWhereverItIs) {
  const auto swap = make_swap({200});
  ASSERT_EQ(swap->take(200)->count, 200u);
  for (const u32 slot : {0u, 63u, 64u, 130u, 199u}) {
    swap->give_back({slot, 1});
    const auto run = swap->take(10);
    ASSERT_TRUE(run);
    EXPECT_EQ(run->first, slot);
    EXPECT_EQ(run->count, 1u);
    EXPECT_FALSE(swap->take(1));
  }
}

TEST(SwapFileDeathTest, ASlotIsGivenBackOnce) {
  const auto swap = make_swap({4});
  const auto run = swap->take(1);
  swap->give_back(*run);
  EXPECT_DEATH(swap->give_back(*run), "is_taken");
}

TEST(SwapFile, LeavesNoNameInItsFolder) {
  const auto folder = std::filesystem::temp_directory_path() / "cloister-swap-test";
  std::filesystem::create_directories(folder);
  const auto swap = SwapFile::create(folder.string(), {kMiB});
  ASSERT_TRUE(swap.ok());
  EXPECT_TRUE(std::filesystem::is_empty(folder));
  std::filesystem::remove(folder);
}

TEST(SwapFile, RefusesWhatCannotBe) {
  EXPECT_FALSE(SwapFile::create("/tmp", {0}).ok());
  EXPECT_FALSE(SwapFile::create("/tmp", {kPageSize + 1}).ok());
  EXPECT_FALSE(SwapFile::create("/there/is/no/such/folder", {kMiB}).ok());
  EXPECT_FALSE(SwapFile::create("/tmp", {u64{1} << 60}).ok()) << "no disk has that much";
}

TEST(SwapFile, CutsOldContentOff) {
  const std::string path = (std::filesystem::temp_directory_path() / "cloister-old-swap").string();
  std::filesystem::remove(path);
  auto old = os::File::open(path, os::Open::kCreateNew).take();
  ASSERT_TRUE(old.write_at(0, std::vector<std::byte>(kPageSize, std::byte{7})).ok());
  const auto swap = SwapFile::adopt(std::move(old), {kMiB}).take();
  PageCopy page;
  page.bytes.fill(std::byte{1});
  ASSERT_TRUE(swap->read(0, page.bytes).ok());
  EXPECT_EQ(page.bytes, PageCopy{}.bytes);
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace cloister::memory
