// SPDX-License-Identifier: Apache-2.0
#include "machine/loader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

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
  BootContent read() const {
    return BootFiles::open(file("kernel", image(10'000)), file("initrd", bytes(cpio())))->read().take();
  }
  std::string folder;
};

std::vector<std::byte> content_at(memory::GuestMemory& memory, GuestPhys at, std::size_t size) {
  std::vector<std::byte> content(size);
  EXPECT_TRUE(memory.read(at, content));
  return content;
}

TEST_F(LoaderTest, EachFileComesToItsPlace) {
  const BootContent content = read();
  const Bytes size{32 * kMiB};
  auto memory = memory::GuestMemory::create(kMemoryBase, size).take();
  const auto placement = place(content, size);
  ASSERT_TRUE(placement);
  const auto tree = bytes("a device tree");
  load(content, *placement, tree, *memory);
  EXPECT_EQ(placement->kernel.raw, kMemoryBase.raw + 2 * kMiB);
  EXPECT_EQ(content_at(*memory, placement->kernel, 10'000), image(10'000));
  EXPECT_EQ(content_at(*memory, placement->initrd, content.initrd.size()), content.initrd);
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
  const BootContent content{KernelImage{image(16 * kMiB), 2 * kMiB, 16 * kMiB}, {}};
  const Bytes size{64 * kMiB};
  auto memory = memory::GuestMemory::create(kMemoryBase, size).take();
  load(content, *place(content, size), bytes("tree"), *memory);
  EXPECT_EQ(memory->usage().in_state[static_cast<int>(memory::PageState::kPrivate)].raw, 2u);
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
