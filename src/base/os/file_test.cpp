// SPDX-License-Identifier: Apache-2.0
#include "base/os/file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <vector>

namespace cloister::os {
namespace {

using testing::HasSubstr;

class FileTest : public testing::Test {
 protected:
  FileTest() { std::filesystem::create_directories(folder); }
  ~FileTest() override { std::filesystem::remove_all(folder); }
  std::string path(const char* name) const { return folder / name; }
  File make(const char* name) const { return File::open(path(name), Open::kCreateNew).take(); }

  const std::filesystem::path folder =
      std::filesystem::path(testing::TempDir()) / ("cloister-file-test-" + std::to_string(::getpid()));
};

std::vector<std::byte> pattern(std::size_t size) {
  std::vector<std::byte> bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(i * 7 + i / 256);
  return bytes;
}

TEST_F(FileTest, ReadsBackWhatWasWrittenAtItsPlace) {
  File file = make("disk");
  const auto bytes = pattern(10'000);
  ASSERT_TRUE(file.write_at(12'345, bytes));
  std::vector<std::byte> back(bytes.size());
  ASSERT_TRUE(file.read_at(12'345, back));
  EXPECT_EQ(back, bytes);
  EXPECT_EQ(file.size().take(), Bytes{22'345});
  EXPECT_TRUE(file.sync_data());
}

TEST_F(FileTest, MovesManyBuffersSomeOfThemEmpty) {
  File file = make("disk");
  auto bytes = pattern(200 * 37);
  std::vector<std::span<const std::byte>> parts;
  for (std::size_t i = 0; i < 200; ++i) {
    parts.emplace_back(bytes.data() + i * 37, 37);
    parts.emplace_back();
  }
  ASSERT_TRUE(file.write_at(5, parts));
  std::vector<std::byte> back(bytes.size());
  const std::span<std::byte> halves[] = {std::span(back).first(1000), std::span(back).subspan(1000)};
  ASSERT_TRUE(file.read_at(5, halves));
  EXPECT_EQ(back, bytes);
}

TEST_F(FileTest, ReadingPastTheEndIsAnErrorThatNamesTheFile) {
  File file = make("short");
  ASSERT_TRUE(file.resize({100}));
  std::vector<std::byte> to(101);
  EXPECT_THAT(file.read_at(0, to).failure().message,
              testing::AllOf(HasSubstr("short"), HasSubstr("ends too early")));
}

TEST_F(FileTest, AMissingFileIsRefusedWithPathReasonAndRemedy) {
  EXPECT_THAT(File::open("/nonexistent/disk.img", Open::kRead).failure().message,
              testing::AllOf(HasSubstr("'/nonexistent/disk.img'"), HasSubstr("No such file"),
                             HasSubstr("check the path")));
}

TEST_F(FileTest, AFolderAndAPipeAreRefused) {
  EXPECT_THAT(File::open(folder, Open::kRead).failure().message, HasSubstr("name a file, not a folder"));
  EXPECT_THAT(File::open("/dev/null", Open::kReadWrite).failure().message,
              HasSubstr("neither a regular file"));
}

TEST_F(FileTest, CreateNewRefusesWhatIsThere) {
  make("disk");
  EXPECT_THAT(File::open(path("disk"), Open::kCreateNew).failure().message, HasSubstr("File exists"));
  EXPECT_TRUE(File::open(path("disk"), Open::kCreate));
}

TEST_F(FileTest, ManyMayShareALockOrOneMayHaveItAlone) {
  make("disk");
  File first = File::open(path("disk"), Open::kReadWrite).take();
  File second = File::open(path("disk"), Open::kReadWrite).take();
  ASSERT_TRUE(first.lock(Lock::kShared));
  ASSERT_TRUE(second.lock(Lock::kShared));
  EXPECT_FALSE(second.lock(Lock::kExclusive));
}

TEST_F(FileTest, ALockInTheWayNamesItsHoldersProcess) {
  make("disk");
  File first = File::open(path("disk"), Open::kReadWrite).take();
  File second = File::open(path("disk"), Open::kReadWrite).take();
  ASSERT_TRUE(first.lock(Lock::kExclusive));
  EXPECT_THAT(
      second.lock(Lock::kShared).failure().message,
      testing::AllOf(HasSubstr("in use by process " + std::to_string(::getpid())), HasSubstr("overlay")));
}

TEST_F(FileTest, ALockEndsWithItsFile) {
  make("disk");
  { ASSERT_TRUE(File::open(path("disk"), Open::kReadWrite).take().lock(Lock::kExclusive)); }
  EXPECT_TRUE(File::open(path("disk"), Open::kReadWrite).take().lock(Lock::kExclusive));
}

TEST_F(FileTest, AHoleReadsAsZerosAndTakesNoSpace) {
  File file = make("disk");
  ASSERT_TRUE(file.write_at(0, pattern(64 * kKiB)));
  const Result<void> punched = file.punch_hole(0, {32 * kKiB});
  if (!punched) GTEST_SKIP() << punched.failure().message;
  std::vector<std::byte> back(32 * kKiB, std::byte{1});
  ASSERT_TRUE(file.read_at(0, back));
  EXPECT_EQ(back, std::vector<std::byte>(32 * kKiB));
  EXPECT_EQ(file.size().take(), Bytes{64 * kKiB});
  EXPECT_GT(file.remaining_space().take(), Bytes{0});
}

TEST_F(FileTest, ATextFileOverItsLimitIsRefused) {
  File file = make("config");
  ASSERT_TRUE(file.write_at(0, std::as_bytes(std::span("cpus = 2", 8))));
  EXPECT_EQ(read_text_file(path("config"), {8}).take(), "cpus = 2");
  EXPECT_THAT(read_text_file(path("config"), {7}).failure().message, HasSubstr("more than the 7 bytes"));
}

}  // namespace
}  // namespace cloister::os
