// SPDX-License-Identifier: Apache-2.0
#include "machine/loader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <optional>

#include "machine/address_map.h"
#include "machine/testing_images.h"

namespace cloister::machine {
namespace {

using testing::bytes;
using testing::cpio;
using ::testing::HasSubstr;
using testing::image;

struct LoaderTest : ::testing::Test {
  LoaderTest()
      : folder(::testing::TempDir() + "loader_" +
               ::testing::UnitTest::GetInstance()->current_test_info()->name()) {
    std::filesystem::create_directories(folder);
  }
  ~LoaderTest() override { std::filesystem::remove_all(folder); }
  std::string file(const std::string& name, const std::vector<std::byte>& content) const {
    std::ofstream(folder + "/" + name, std::ios::binary)
        .write(reinterpret_cast<const char*>(content.data()), static_cast<std::streamsize>(content.size()));
    return folder + "/" + name;
  }
  BootContent read() {
    files.emplace(BootFiles::open(file("kernel", image(10'000)), file("initrd", bytes(cpio()))).take());
    return files->read().take();
  }
  std::string folder;
  std::optional<BootFiles> files;
};

std::vector<std::byte> content_at(memory::GuestMemory& memory, GuestPhys at, std::size_t size) {
  std::vector<std::byte> content(size);
  EXPECT_TRUE(memory.read(at, content));
  return content;
}

TEST_F(LoaderTest, EachFileComesToItsPlace) {
  BootContent content = read();
  const Bytes size{32 * kMiB};
  auto memory = memory::GuestMemory::create(kMemoryBase, size).take();
  const auto placement = place(content, size);
  ASSERT_TRUE(placement);
  const auto tree = bytes("a device tree");
  ASSERT_TRUE(load(content, *placement, tree, *memory));
  EXPECT_EQ(placement->kernel.raw, kMemoryBase.raw + 2 * kMiB);
  EXPECT_EQ(content_at(*memory, placement->kernel, 10'000), image(10'000));
  EXPECT_EQ(content_at(*memory, placement->initrd, cpio().size()), bytes(cpio()));
  EXPECT_EQ(content_at(*memory, placement->tree, tree.size()), tree);
}

TEST_F(LoaderTest, ThePlacesAreAlignedAndApart) {
  const BootContent content = read();
  const auto placement = place(content, Bytes{64 * kMiB + kPageSize});
  ASSERT_TRUE(placement);
  EXPECT_EQ(placement->initrd.page_offset(), 0u);
  EXPECT_EQ(placement->tree.page_offset(), 0u);
  EXPECT_LE(placement->tree + kMaxDeviceTree.raw, placement->initrd);
  EXPECT_LE(placement->initrd + content.initrd.size(), kMemoryBase + 64 * kMiB + kPageSize);
}

TEST_F(LoaderTest, PagesOfZerosTakeNoFrame) {
  BootContent content{KernelImage{image(16 * kMiB), 2 * kMiB, 16 * kMiB}, {}};
  const Bytes size{64 * kMiB};
  auto memory = memory::GuestMemory::create(kMemoryBase, size).take();
  ASSERT_TRUE(load(content, *place(content, size), bytes("tree"), *memory));
  EXPECT_EQ(memory->usage().in_state[static_cast<int>(memory::PageState::kPrivate)].raw, 2u);
}

TEST_F(LoaderTest, LargeFilesAreReadPieceByPiece) {
  std::vector<std::byte> kernel = image(9 * kMiB + 12'345);
  for (std::size_t i = 100; i < kernel.size(); i += 97) kernel[i] = static_cast<std::byte>(i / 97);
  files.emplace(BootFiles::open(file("kernel", kernel), "").take());
  BootContent content = files->read().take();
  const Bytes size{64 * kMiB};
  auto memory = memory::GuestMemory::create(kMemoryBase, size).take();
  const auto placement = place(content, size);
  ASSERT_TRUE(load(content, *placement, bytes("tree"), *memory));
  EXPECT_TRUE(content_at(*memory, placement->kernel, kernel.size()) == kernel);
}

TEST_F(LoaderTest, AFileThatWasCutSinceItWasLookedAtIsAnError) {
  files.emplace(BootFiles::open(file("kernel", image(10'000)), "").take());
  BootContent content = files->read().take();
  std::filesystem::resize_file(folder + "/kernel", 5'000);
  const Bytes size{64 * kMiB};
  auto memory = memory::GuestMemory::create(kMemoryBase, size).take();
  const auto loaded = load(content, *place(content, size), bytes("tree"), *memory);
  ASSERT_FALSE(loaded);
  EXPECT_THAT(loaded.failure().message, HasSubstr("/kernel"));
}

TEST_F(LoaderTest, AMemoryTooSmallIsToldTheLeast) {
  BootContent content = read();
  content.kernel.image_size = 30 * kMiB;
  const auto placement = place(content, Bytes{40 * kMiB});
  ASSERT_FALSE(placement);
  EXPECT_THAT(placement.failure().message, HasSubstr("40 MiB"));
  EXPECT_THAT(placement.failure().message, HasSubstr("at least 49 MiB"));
  EXPECT_TRUE(place(content, Bytes{49 * kMiB}));
}

TEST_F(LoaderTest, MissingFilesAreNamed) {
  const auto kernel = BootFiles::open(folder + "/nowhere", "");
  ASSERT_FALSE(kernel);
  EXPECT_THAT(kernel.failure().message, HasSubstr("/nowhere"));
  const auto initrd = BootFiles::open(file("kernel", image(4096)), folder + "/gone");
  ASSERT_FALSE(initrd);
  EXPECT_THAT(initrd.failure().message, HasSubstr("/gone"));
  EXPECT_THAT(BootFiles::open("", "").failure().message, HasSubstr("--kernel"));
}

}  // namespace
}  // namespace cloister::machine
