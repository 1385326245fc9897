// SPDX-License-Identifier: Apache-2.0
// Pages of a balloon value in an overlay: bits instead of bytes, and the disk cannot be told from any other.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>

#include "base/os/file.h"
#include "base/random.h"
#include "device/virtio/block/image.h"
#include "device/virtio/block/overlay_format.h"

namespace cloister::device::virtio {
namespace {

using Bytes4K = std::vector<std::byte>;

// A disk of four clusters and a piece over a base that is not zero anywhere.
struct OverlayValues : ::testing::Test {
  static constexpr u64 kDisk = 4 * kClusterSize + 3 * kSectorSize;
  static constexpr std::byte kBase{0xba};

  OverlayValues()
      : folder(::testing::TempDir() + "values_" +
               ::testing::UnitTest::GetInstance()->current_test_info()->name()),
        base(folder + "/base"),
        path(folder + "/overlay") {
    std::filesystem::remove_all(folder);
    std::filesystem::create_directory(folder);
    std::ofstream(base, std::ios::binary) << std::string(kDisk, static_cast<char>(kBase));
  }
  ~OverlayValues() override { std::filesystem::remove_all(folder); }

  static Bytes4K value_of(u8 machine) {
    Bytes4K page(kPageSize);
    for (std::size_t i = 0; i < sizeof(OverlayMark); ++i)
      page[i] = static_cast<std::byte>(machine * 7 + i + 1);
    return page;
  }
  // As the `machine`th time that it is switched on.
  void open(u8 machine) {
    disk.reset();
    disk = open_disk({base, path}).take();
    value = value_of(machine);
    disk->expect_value(value);
  }
  void write_value(u64 page, u64 count = 1) {
    Bytes4K pages;
    for (u64 i = 0; i < count; ++i) pages.insert(pages.end(), value.begin(), value.end());
    ASSERT_TRUE(disk->write_value(page * kPageSize, pages).ok());
  }
  void write(u64 offset, u64 count, u8 content) {
    ASSERT_TRUE(disk->write(offset, Bytes4K(count, std::byte{content})).ok());
  }
  Bytes4K read(u64 offset, u64 count) {
    Bytes4K bytes(count);
    EXPECT_TRUE(disk->read(offset, bytes).ok());
    return bytes;
  }
  Bytes4K page(u64 number) { return read(number * kPageSize, kPageSize); }
  u64 space() const { return os::File::open(path, os::Open::kRead).take().allocated().value().raw; }
  std::string refusal() const {
    const auto result = open_disk({base, path});
    return result.ok() ? "(none)" : result.failure().message;
  }
  template <typename T>
  void patch(u64 offset, T changed) const {
    auto file = os::File::open(path, os::Open::kReadWrite).take();
    ASSERT_TRUE(file.write_at(offset, std::as_bytes(std::span(&changed, 1))).ok());
  }
  OverlayLayout layout() const {
    auto file = os::File::open(path, os::Open::kRead).take();
    Bytes4K header(kPageSize);
    EXPECT_TRUE(file.read_at(0, header).ok());
    return decode_overlay(header, path).take();
  }

  const std::string folder, base, path;
  std::unique_ptr<DiskImage> disk;
  Bytes4K value;
};

TEST_F(OverlayValues, TakeNoSpaceAndAreCounted) {
  open(1);
  write_value(1);
  ASSERT_TRUE(disk->flush().ok());
  const u64 before = space();
  write_value(0, 48);
  ASSERT_TRUE(disk->flush().ok());
  EXPECT_EQ(space(), before);
  EXPECT_EQ(disk->elided(), Pages{49});
  EXPECT_EQ(page(0), value);
  EXPECT_EQ(page(47), value);
  EXPECT_EQ(read(48 * kPageSize, 1)[0], kBase);
}

TEST_F(OverlayValues, ReadAsWhatWasWrittenHoweverOftenTheMachineIsSwitchedOnAgain) {
  open(1);
  write_value(3, 20);
  open(2);
  EXPECT_EQ(page(3), value_of(1)) << "a clean close is a flush";
  write_value(40, 2);
  open(3);
  EXPECT_EQ(page(22), value_of(1));
  EXPECT_EQ(page(41), value_of(2));
  EXPECT_EQ(page(2), Bytes4K(kPageSize, kBase));
  open(1);
  write_value(60);
  open(4);
  EXPECT_EQ(page(60), value_of(1)) << "the value of old again";
  EXPECT_EQ(page(41), value_of(2));
}

TEST_F(OverlayValues, OfTwoMachinesInOneClusterTheSecondIsStoredUntilTheFirstIsGone) {
  open(1);
  write_value(0, 2);
  open(2);
  write_value(1, 2);
  EXPECT_EQ(disk->elided(), Pages{});
  EXPECT_EQ(page(0), value_of(1));
  EXPECT_EQ(page(1), value);
  EXPECT_EQ(page(2), value);
  write_value(0, 3);
  EXPECT_EQ(disk->elided(), Pages{3});
  for (u64 i = 0; i < 3; ++i) EXPECT_EQ(page(i), value);
}

TEST_F(OverlayValues, AWriteOfPartOfAPageKeepsTheRest) {
  open(1);
  write_value(2, 3);
  write(3 * kPageSize + 10, 4, 7);
  Bytes4K changed = value;
  std::fill_n(changed.begin() + 10, 4, std::byte{7});
  EXPECT_EQ(page(2), value);
  EXPECT_EQ(page(3), changed);
  EXPECT_EQ(page(4), value);
  write(2 * kPageSize + 20, 2 * kPageSize, 9);
  EXPECT_TRUE(std::equal(value.begin(), value.begin() + 20, page(2).begin()));
  EXPECT_EQ(page(3), Bytes4K(kPageSize, std::byte{9}));
  EXPECT_EQ(page(4)[19], std::byte{9});
  EXPECT_EQ(page(4)[20], value[20]);
  open(2);
  EXPECT_EQ(page(4)[20], value_of(1)[20]);
}

TEST_F(OverlayValues, WhatWasThereBeforeGivesItsSpaceBackOnceItIsFlushed) {
  open(1);
  write_value(60);
  write(0, 2 * kClusterSize, 5);
  ASSERT_TRUE(disk->flush().ok());
  const u64 before = space();
  write_value(0, 16);
  write_value(20, 4);
  EXPECT_EQ(space(), before) << "after a crash it would still be wanted";
  ASSERT_TRUE(disk->flush().ok());
  EXPECT_LE(space(), before - 18 * kPageSize)
      << "but for what the file system needs to tell where the holes are";
  EXPECT_EQ(page(15), value);
  EXPECT_EQ(page(19), Bytes4K(kPageSize, std::byte{5}));
  EXPECT_EQ(page(20), value);
  write(0, kPageSize, 6);
  EXPECT_EQ(page(0), Bytes4K(kPageSize, std::byte{6}));
  EXPECT_EQ(page(1), value);
}

// The file as it is when the cell is killed: what was not flushed is as before.
TEST_F(OverlayValues, WhatWasNotFlushedIsAfterADeathAsItWasBefore) {
  open(1);
  write_value(0, 4);
  write(16 * kPageSize, kPageSize, 5);
  ASSERT_TRUE(disk->flush().ok());
  write_value(16);
  write(0, kPageSize, 6);
  write_value(32);
  std::filesystem::copy(path, path + ".left");
  disk.reset();
  std::filesystem::rename(path + ".left", path);
  open(2);
  EXPECT_EQ(page(16), Bytes4K(kPageSize, std::byte{5}));
  EXPECT_EQ(page(0), value_of(1));
  EXPECT_EQ(page(32), Bytes4K(kPageSize, kBase));
}

TEST_F(OverlayValues, ZeroesAndDiscardsEndThem) {
  open(1);
  write_value(0, 40);
  ASSERT_TRUE(disk->write_zeroes(0, Bytes{kClusterSize}, DiskImage::Unmap::kYes).ok());
  ASSERT_TRUE(disk->write_zeroes(20 * kPageSize, Bytes{kPageSize}, DiskImage::Unmap::kNo).ok());
  disk->discard(2 * kClusterSize, Bytes{kClusterSize});
  open(2);
  EXPECT_EQ(page(0), Bytes4K(kPageSize));
  EXPECT_EQ(page(20), Bytes4K(kPageSize));
  EXPECT_EQ(page(21), value_of(1));
  const Bytes4K discarded = page(33);
  EXPECT_TRUE(discarded == Bytes4K(kPageSize) || discarded == value_of(1));
}

TEST_F(OverlayValues, WhatIsNotAlignedIsStored) {
  open(1);
  ASSERT_TRUE(disk->write_value(512, value).ok());
  EXPECT_EQ(disk->elided(), Pages{});
  EXPECT_EQ(read(512, kPageSize), value);
}

TEST_F(OverlayValues, AnOverlayWithoutThemKeepsTheOlderFormat) {
  open(1);
  write(0, 100, 1);
  disk.reset();
  EXPECT_EQ(layout().format, kPlainOverlay);
  EXPECT_EQ(std::filesystem::file_size(path), layout().plain_size().raw);
  open(1);
  write_value(1);
  disk.reset();
  EXPECT_EQ(layout().format, kOverlayWithValues);
  EXPECT_EQ(std::filesystem::file_size(path), layout().size_with_values().raw);
}

// Killed between the two steps of becoming one of format 2.
TEST_F(OverlayValues, APlainOneWithRoomForThemIsWhole) {
  open(1);
  write(0, 100, 1);
  disk.reset();
  std::filesystem::resize_file(path, layout().size_with_values().raw);
  open(1);
  EXPECT_EQ(page(0)[99], std::byte{1});
  write_value(1);
  open(2);
  EXPECT_EQ(page(1), value_of(1));
}

TEST_F(OverlayValues, ADamagedTableIsRefused) {
  open(1);
  write_value(1);
  disk.reset();
  const u64 entries = layout().values_offset();
  for (const u32 nonsense : {u32{0x0000'0002}, u32{0x0001'0000}, u32{0x0101'0002}}) {
    patch(entries, nonsense);
    EXPECT_NE(refusal().find("damaged table of values"), std::string::npos) << nonsense << ": " << refusal();
  }
  patch(entries, u32{0x0001'0002});
  EXPECT_EQ(refusal(), "(none)");
  std::filesystem::resize_file(path, layout().plain_size().raw);
  EXPECT_NE(refusal().find("cut off"), std::string::npos) << refusal();
}

TEST_F(OverlayValues, ANumberIsGivenAnewWhenNoPageHasIt) {
  open(1);
  write_value(0, 2);
  open(2);
  write_value(0, 2);
  open(3);
  write_value(16);
  open(4);
  EXPECT_EQ(page(0), value_of(2));
  EXPECT_EQ(page(16), value_of(3)) << "by the first one's number";
  auto file = os::File::open(path, os::Open::kRead).take();
  std::array<OverlayMark, 4> marks;
  ASSERT_TRUE(file.read_at(layout().marks_offset(), std::as_writable_bytes(std::span(marks))).ok());
  EXPECT_TRUE(std::equal(marks[1].begin(), marks[1].end(), value_of(3).begin()));
  EXPECT_EQ(marks[3], OverlayMark{});
}

TEST_F(OverlayValues, WhereAllNumbersAreTakenTheyAreStored) {
  open(1);
  write_value(0);
  disk.reset();
  // A larger disk would have place for so many; here the table says that all are used, by one cluster each.
  std::filesystem::remove(path);
  std::ofstream(base, std::ios::binary) << std::string(256 * kClusterSize, static_cast<char>(kBase));
  open(1);
  write_value(0);
  disk.reset();
  for (u32 number = 1; number < kOverlayMarks; ++number)
    patch(layout().values_offset() + number * kOverlayValueBytes, number << 16 | 1);
  open(9);
  write_value(4);
  EXPECT_EQ(disk->elided(), Pages{});
  EXPECT_EQ(page(4), value);
  open(1);
  write_value(5);
  EXPECT_EQ(disk->elided(), Pages{1}) << "one that is known needs no number";
}

// Against a plain array, with the machine switched off and on.
TEST_F(OverlayValues, MakeADiskLikeAnyOther) {
  const u64 seed = 21;
  Random random(seed);
  u8 machine = 1;
  open(machine);
  Bytes4K model = read(0, kDisk);
  for (int step = 0; step < 1500; ++step) {
    const u64 at = random.below(kDisk - 1);
    const u64 count = 1 + random.below(std::min<u64>(kDisk - at, random.one_in(3) ? 2 * kClusterSize : 9000));
    const auto part = std::span(model).subspan(at, count);
    const u64 first = random.below(kDisk / kPageSize), pages = 1 + random.below(kDisk / kPageSize - first);
    switch (random.below(8)) {
      case 0:
        if (random.one_in(2)) ++machine;
        open(machine);
        break;
      case 1:
        std::fill(part.begin(), part.end(), std::byte{0});
        ASSERT_TRUE(disk->write_zeroes(at, Bytes{count},
                                       random.one_in(2) ? DiskImage::Unmap::kYes : DiskImage::Unmap::kNo)
                        .ok());
        break;
      case 2:
        ASSERT_TRUE(disk->flush().ok());
        break;
      case 3:
      case 4:
      case 5: {
        const u64 few = random.one_in(3) ? pages : std::min<u64>(pages, 3);
        write_value(first, few);
        for (u64 i = first; i < first + few; ++i)
          std::copy(value.begin(), value.end(), model.begin() + static_cast<std::ptrdiff_t>(i * kPageSize));
        break;
      }
      default:
        std::fill(part.begin(), part.end(), static_cast<std::byte>(step | 1));
        ASSERT_TRUE(disk->write(at, part).ok());
    }
    ASSERT_EQ(read(at, count), Bytes4K(part.begin(), part.end())) << "seed " << seed << " step " << step;
  }
  EXPECT_EQ(read(0, kDisk), model);
  open(++machine);
  EXPECT_EQ(read(0, kDisk), model);
}

// One thread makes pages the value and something else in turn, one flushes, and those that read find one or
// the other: never the base, and never the hole that a flush makes.
TEST_F(OverlayValues, NobodySeesAHole) {
  open(1);
  write(0, kClusterSize, 5);
  std::atomic<bool> end{false};
  std::thread flusher([&] {
    while (!end) ASSERT_TRUE(disk->flush().ok());
  });
  std::vector<std::thread> readers;
  for (int t = 0; t < 2; ++t) {
    readers.emplace_back([&, t] {
      Bytes4K seen(kPageSize);
      for (u64 i = static_cast<u64>(t); !end; ++i) {
        ASSERT_TRUE(disk->read(i % 16 * kPageSize, seen).ok());
        ASSERT_TRUE(seen[0] == value[0] || seen[0] == std::byte{5}) << static_cast<int>(seen[0]);
      }
    });
  }
  Random random(3);
  for (int round = 0; round < 3000; ++round) {
    write_value(random.below(16));
    write(random.below(16) * kPageSize, kPageSize, 5);
  }
  end = true;
  flusher.join();
  for (auto& reader : readers) reader.join();
}

}  // namespace
}  // namespace cloister::device::virtio
