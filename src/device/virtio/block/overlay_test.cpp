// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

#include "base/os/file.h"
#include "base/random.h"
#include "device/virtio/block/image.h"
#include "device/virtio/block/overlay_format.h"

namespace cloister::device::virtio {
namespace {

using Unmap = DiskImage::Unmap;

// A folder with a base of four clusters and a piece, every sector telling its number.
struct Overlay : ::testing::Test {
  static constexpr u64 kBaseSize = 4 * kClusterSize + 3 * kSectorSize;

  Overlay()
      : folder(::testing::TempDir() + "overlay_" +
               ::testing::UnitTest::GetInstance()->current_test_info()->name()),
        base(folder + "/base"),
        path(folder + "/overlay") {
    std::filesystem::remove_all(folder);
    std::filesystem::create_directory(folder);
    make_base(base, kBaseSize);
  }
  ~Overlay() override { std::filesystem::remove_all(folder); }

  static void make_base(const std::string& at, u64 size) {
    std::vector<u64> words(size / 8);
    for (u64 i = 0; i < words.size(); ++i) words[i] = base_word(i * 8);
    std::ofstream(at, std::ios::binary)
        .write(reinterpret_cast<const char*>(words.data()), static_cast<std::streamsize>(size));
  }
  static u64 base_word(u64 offset) { return 0xba5e'0000'0000'0000 + offset / kSectorSize; }

  std::unique_ptr<DiskImage> open() const { return open_disk({base, path}).take(); }
  std::string refusal() const {
    const auto result = open_disk({base, path});
    return result.ok() ? "(none)" : result.failure().message;
  }
  static u64 word(DiskImage& disk, u64 offset) {
    u64 value = 0;
    EXPECT_TRUE(disk.read(offset, std::as_writable_bytes(std::span(&value, 1))).ok());
    return value;
  }
  static void put_word(DiskImage& disk, u64 offset, u64 value) {
    EXPECT_TRUE(disk.write(offset, std::as_bytes(std::span(&value, 1))).ok());
  }
  template <typename T>
  static void patch(const std::string& file, u64 offset, T value) {
    auto opened = os::File::open(file, os::Open::kReadWrite).take();
    ASSERT_TRUE(opened.write_at(offset, std::as_bytes(std::span(&value, 1))).ok());
  }

  const std::string folder, base, path;
};

TEST_F(Overlay, BeginsAsItsBase) {
  const auto disk = open();
  EXPECT_EQ(disk->size().raw, kBaseSize);
  for (u64 at = 0; at < kBaseSize; at += kSectorSize) ASSERT_EQ(word(*disk, at), base_word(at));
}

TEST_F(Overlay, AWriteOfPartOfAClusterKeepsTheRest) {
  const auto disk = open();
  put_word(*disk, kClusterSize + 1000, 7);
  EXPECT_EQ(word(*disk, kClusterSize + 1000), 7u);
  EXPECT_EQ(word(*disk, kClusterSize + 992), base_word(kClusterSize + 992));
  EXPECT_EQ(word(*disk, kClusterSize + 1008), base_word(kClusterSize + 1008));
  EXPECT_EQ(word(*disk, 2 * kClusterSize), base_word(2 * kClusterSize));
}

TEST_F(Overlay, TheLastPartOfAClusterIsWrittenToo) {
  const auto disk = open();
  put_word(*disk, kBaseSize - 8, 9);
  EXPECT_EQ(word(*disk, kBaseSize - 8), 9u);
  EXPECT_EQ(word(*disk, kBaseSize - 16), base_word(kBaseSize - 16));
}

TEST_F(Overlay, AWriteMayCrossClusters) {
  const auto disk = open();
  const std::vector<std::byte> bytes(kClusterSize * 2 + 1024, std::byte{5});
  ASSERT_TRUE(disk->write(kClusterSize - 512, bytes).ok());
  std::vector<std::byte> back(bytes.size());
  ASSERT_TRUE(disk->read(kClusterSize - 512, back).ok());
  EXPECT_EQ(back, bytes);
  EXPECT_EQ(word(*disk, kClusterSize - 520), base_word(kClusterSize - 520));
  EXPECT_EQ(word(*disk, 3 * kClusterSize + 512), base_word(3 * kClusterSize + 512));
}

TEST_F(Overlay, TheBaseNeverChanges) {
  {
    const auto disk = open();
    put_word(*disk, 0, 1);
    ASSERT_TRUE(disk->flush().ok());
  }
  const auto raw = open_disk({base, "", true}).take();
  EXPECT_EQ(word(*raw, 0), base_word(0));
}

TEST_F(Overlay, WhatWasFlushedIsThereAgain) {
  auto disk = open();
  put_word(*disk, 16, 1);
  put_word(*disk, 3 * kClusterSize, 2);
  ASSERT_TRUE(disk->flush().ok());
  disk.reset();
  disk = open();
  EXPECT_EQ(word(*disk, 16), 1u);
  EXPECT_EQ(word(*disk, 3 * kClusterSize), 2u);
  EXPECT_EQ(word(*disk, kClusterSize), base_word(kClusterSize));
}

TEST_F(Overlay, ACleanCloseFlushes) {
  put_word(*open(), 16, 1);
  EXPECT_EQ(word(*open(), 16), 1u);
}

TEST_F(Overlay, ManyMachinesShareABase) {
  const auto one = open_disk({base, folder + "/one"}).take();
  const auto two = open_disk({base, folder + "/two"}).take();
  put_word(*one, 0, 1);
  put_word(*two, 0, 2);
  EXPECT_EQ(word(*one, 0), 1u);
  EXPECT_EQ(word(*two, 0), 2u);
}

TEST_F(Overlay, TakesNoMoreSpaceThanItsClusters) {
  const auto disk = open();
  const auto file = os::File::open(path, os::Open::kRead).take();
  const u64 before = file.allocated().value().raw;
  put_word(*disk, 2 * kClusterSize, 1);
  ASSERT_TRUE(disk->flush().ok());
  EXPECT_LE(file.allocated().value().raw, before + kClusterSize + 2 * kPageSize);
  EXPECT_LT(before, u64{64} * kKiB);
}

TEST_F(Overlay, ZeroesHideTheBase) {
  for (const Unmap unmap : {Unmap::kYes, Unmap::kNo}) {
    auto disk = open();
    ASSERT_TRUE(disk->write_zeroes(512, Bytes{2 * kClusterSize}, unmap).ok());
    disk.reset();
    disk = open();
    EXPECT_EQ(word(*disk, 0), base_word(0));
    for (u64 at = 512; at < 512 + 2 * kClusterSize; at += 512) ASSERT_EQ(word(*disk, at), 0u) << at;
    EXPECT_EQ(word(*disk, 512 + 2 * kClusterSize), base_word(512 + 2 * kClusterSize));
    disk.reset();
    std::filesystem::remove(path);
  }
}

TEST_F(Overlay, AZeroedClusterCanBeWrittenAgain) {
  const auto disk = open();
  ASSERT_TRUE(disk->write_zeroes(0, Bytes{kClusterSize}, Unmap::kYes).ok());
  put_word(*disk, 8, 3);
  EXPECT_EQ(word(*disk, 0), 0u);
  EXPECT_EQ(word(*disk, 8), 3u);
}

TEST_F(Overlay, DiscardedClustersGiveTheirSpaceBack) {
  const auto disk = open();
  const std::vector<std::byte> bytes(2 * kClusterSize, std::byte{5});
  ASSERT_TRUE(disk->write(0, bytes).ok());
  ASSERT_TRUE(disk->flush().ok());
  const auto file = os::File::open(path, os::Open::kRead).take();
  const u64 before = file.allocated().value().raw;
  disk->discard(0, Bytes{2 * kClusterSize});
  EXPECT_LE(file.allocated().value().raw, before - 2 * kClusterSize);
  EXPECT_EQ(word(*disk, 0), 0u);
}

// First writes of one cluster from several threads at once: each keeps the others' bytes.
TEST_F(Overlay, FirstWritesOfOneClusterDoNotUndoEachOther) {
  for (int round = 0; round < 20; ++round) {
    const auto disk = open();
    std::vector<std::thread> threads;
    for (u64 t = 0; t < 4; ++t) {
      threads.emplace_back([&, t] {
        for (u64 at = t * 512; at < 4 * kClusterSize; at += 4 * 512) put_word(*disk, at, at);
      });
    }
    for (auto& thread : threads) thread.join();
    for (u64 at = 0; at < 4 * kClusterSize; at += 512) ASSERT_EQ(word(*disk, at), at);
    std::filesystem::remove(path);
  }
}

// Against a plain array, with reopening.
TEST_F(Overlay, IsADiskLikeAnyOther) {
  const u64 seed = 20;
  Random random(seed);
  std::vector<std::byte> model(kBaseSize);
  auto disk = open();
  ASSERT_TRUE(disk->read(0, model).ok());
  for (int step = 0; step < 400; ++step) {
    const u64 at = random.below(kBaseSize - 1);
    const u64 count = 1 + random.below(std::min<u64>(kBaseSize - at, 3 * kClusterSize));
    const auto part = std::span(model).subspan(at, count);
    switch (random.below(6)) {
      case 0:
        disk.reset();
        disk = open();
        break;
      case 1:
        std::fill(part.begin(), part.end(), std::byte{0});
        ASSERT_TRUE(disk->write_zeroes(at, Bytes{count}, random.one_in(2) ? Unmap::kYes : Unmap::kNo).ok());
        break;
      case 2:
        ASSERT_TRUE(disk->flush().ok());
        break;
      default:
        std::fill(part.begin(), part.end(), static_cast<std::byte>(step));
        ASSERT_TRUE(disk->write(at, part).ok());
    }
    std::vector<std::byte> back(count);
    ASSERT_TRUE(disk->read(at, back).ok());
    ASSERT_TRUE(std::equal(back.begin(), back.end(), part.begin())) << "seed " << seed << " step " << step;
  }
  std::vector<std::byte> all(kBaseSize);
  ASSERT_TRUE(disk->read(0, all).ok());
  EXPECT_EQ(all, model);
}

// -- What is refused -------------------------------------------------------------------------------------

TEST_F(Overlay, OneThatIsInUseIsRefused) {
  const auto disk = open();
  EXPECT_NE(refusal().find(path + "' is in use"), std::string::npos) << refusal();
}

TEST_F(Overlay, ABaseThatSomebodyWritesIsRefused) {
  const auto writer = open_disk({base, ""}).take();
  EXPECT_NE(refusal().find(base + "' is in use"), std::string::npos) << refusal();
}

TEST_F(Overlay, ABaseInUseIsNotWritten) {
  const auto disk = open();
  EXPECT_FALSE(open_disk({base, ""}).ok());
  EXPECT_TRUE(open_disk({base, "", true}).ok());
}

TEST_F(Overlay, AForeignFileIsRefused) {
  std::ofstream(path) << std::string(100'000, 'x');
  EXPECT_NE(refusal().find("no overlay"), std::string::npos) << refusal();
  std::ofstream(path) << "tiny";
  EXPECT_NE(refusal().find("too short"), std::string::npos) << refusal();
}

TEST_F(Overlay, ADamagedHeaderIsRefused) {
  open();
  patch<u8>(path, 17, 1);
  EXPECT_NE(refusal().find("damaged header"), std::string::npos) << refusal();
}

TEST_F(Overlay, ANewerFormatIsRefused) {
  open();
  patch<u32>(path, 8, 3);
  EXPECT_NE(refusal().find("format 3"), std::string::npos) << refusal();
}

TEST_F(Overlay, ACutOffFileIsRefused) {
  open();
  std::filesystem::resize_file(path, 3 * kClusterSize);
  EXPECT_NE(refusal().find("cut off"), std::string::npos) << refusal();
}

TEST_F(Overlay, ABaseOfAnotherSizeIsRefused) {
  open();
  make_base(base, kBaseSize + 512);
  EXPECT_NE(refusal().find(base), std::string::npos) << refusal();
}

TEST_F(Overlay, AChangedBaseIsRefused) {
  open();
  const auto time = std::filesystem::last_write_time(base);
  std::filesystem::last_write_time(base, time + std::chrono::seconds(1));
  EXPECT_NE(refusal().find("was changed"), std::string::npos) << refusal();
  std::filesystem::last_write_time(base, time);
  EXPECT_EQ(refusal(), "(none)");
}

TEST_F(Overlay, AMissingBaseOrFolderIsRefused) {
  EXPECT_FALSE(open_disk({folder + "/none", path}).ok());
  EXPECT_FALSE(open_disk({base, folder + "/none/overlay"}).ok());
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST_F(Overlay, TheBaseIsNotItsOwnOverlay) { EXPECT_FALSE(open_disk({base, base}).ok()); }

TEST_F(Overlay, AReadOnlyOneIsRefused) { EXPECT_FALSE(open_disk({base, path, true}).ok()); }

// -- Raw files -------------------------------------------------------------------------------------------

TEST_F(Overlay, ARawFileOfOddSizeIsRefused) {
  std::filesystem::resize_file(base, 1000);
  const auto result = open_disk({base, ""});
  ASSERT_FALSE(result.ok());
  EXPECT_NE(result.failure().message.find("1000 bytes"), std::string::npos);
  std::filesystem::resize_file(base, 0);
  EXPECT_NE(open_disk({base, ""}).failure().message.find("is empty"), std::string::npos);
}

TEST_F(Overlay, ARawFileHasOneWriterOrManyReaders) {
  {
    const auto writer = open_disk({base, ""}).take();
    EXPECT_FALSE(open_disk({base, ""}).ok());
    EXPECT_FALSE(open_disk({base, "", true}).ok());
  }
  const auto reader = open_disk({base, "", true}).take();
  EXPECT_TRUE(reader->read_only());
  EXPECT_TRUE(open_disk({base, "", true}).ok());
  EXPECT_FALSE(open_disk({base, ""}).ok());
}

TEST_F(Overlay, ARawFileIsWrittenZeroedAndDiscarded) {
  const auto disk = open_disk({base, ""}).take();
  put_word(*disk, 512, 4);
  EXPECT_EQ(word(*disk, 512), 4u);
  for (const Unmap unmap : {Unmap::kYes, Unmap::kNo}) {
    ASSERT_TRUE(disk->write(0, std::vector<std::byte>(kBaseSize, std::byte{1})).ok());
    ASSERT_TRUE(disk->write_zeroes(512, Bytes{kBaseSize - 1024}, unmap).ok());
    EXPECT_EQ(word(*disk, 504), 0x0101'0101'0101'0101u);
    EXPECT_EQ(word(*disk, 512), 0u);
    EXPECT_EQ(word(*disk, kBaseSize - 520), 0u);
    EXPECT_EQ(word(*disk, kBaseSize - 512), 0x0101'0101'0101'0101u);
  }
  disk->discard(0, Bytes{kBaseSize});
  EXPECT_TRUE(disk->flush().ok());
  EXPECT_EQ(disk->size().raw, kBaseSize);
}

}  // namespace
}  // namespace cloister::device::virtio
