// SPDX-License-Identifier: Apache-2.0
#include "base/os/new_file.h"

#include <gtest/gtest.h>

#include <filesystem>

namespace cloister::os {
namespace {

struct NewFile : ::testing::Test {
  NewFile()
      : folder(::testing::TempDir() + "new_file_" +
               ::testing::UnitTest::GetInstance()->current_test_info()->name()) {
    std::filesystem::remove_all(folder);
    std::filesystem::create_directory(folder);
  }
  ~NewFile() override { std::filesystem::remove_all(folder); }
  std::ptrdiff_t files() const {
    return std::distance(std::filesystem::directory_iterator(folder), std::filesystem::directory_iterator());
  }
  const std::string folder;
};

constexpr auto kHello = [](File& file) { return file.write_at(0, std::as_bytes(std::span("hello", 5))); };

TEST_F(NewFile, AppearsWithItsContent) {
  ASSERT_TRUE(create_whole(folder + "/a", kHello).ok());
  EXPECT_EQ(read_text_file(folder + "/a", Bytes{100}).value(), "hello");
  EXPECT_EQ(files(), 1);
}

TEST_F(NewFile, IsNotThereWhenItsContentCannotBeMade) {
  const auto result = create_whole(folder + "/a", [](File&) -> Result<void> { return error("no ink"); });
  EXPECT_EQ(result.failure().message, "no ink");
  EXPECT_EQ(files(), 0);
}

TEST_F(NewFile, NeverReplacesAnother) {
  ASSERT_TRUE(create_whole(folder + "/a", kHello).ok());
  EXPECT_NE(create_whole(folder + "/a", kHello).failure().message.find(folder + "/a"), std::string::npos);
  EXPECT_EQ(files(), 1);
}

TEST_F(NewFile, NeedsItsFolder) { EXPECT_FALSE(create_whole(folder + "/none/a", kHello).ok()); }

}  // namespace
}  // namespace cloister::os
