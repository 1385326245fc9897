// SPDX-License-Identifier: Apache-2.0
#include "machine/initrd.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "machine/testing_images.h"

namespace cloister::machine {
namespace {

using testing::bytes;
using testing::cpio;
using testing::cpio_file;
using testing::gzip;
using ::testing::HasSubstr;

std::string refusal_of_initrd(std::vector<std::byte> content) {
  BootFile file(std::move(content));
  const auto result = check_initrd(file, "the.initrd");
  return result.ok() ? "" : result.failure().message;
}

std::string text(const std::vector<std::byte>& content) {
  return {reinterpret_cast<const char*>(content.data()), content.size()};
}

// A frame of one raw block, as `zstd --no-check` makes of incompressible data; with a window descriptor.
std::string zstd_frame(const std::string& data) {
  const u32 block = static_cast<u32>(data.size()) << 3 | 1;
  std::string frame = {'\x28', '\xb5', '\x2f', '\xfd', '\x00', '\x58'};
  for (int i = 0; i < 3; ++i) frame += static_cast<char>(block >> (8 * i) & 0xff);
  return frame + data;
}

TEST(Initrd, ArchivesPlainOrCompressedFollowOneAnother) {
  EXPECT_EQ(refusal_of_initrd(bytes(cpio())), "");
  EXPECT_EQ(refusal_of_initrd(gzip(bytes(cpio()))), "");
  EXPECT_EQ(refusal_of_initrd(bytes(cpio() + std::string(300, '\0') + zstd_frame(cpio()))), "");
  EXPECT_EQ(refusal_of_initrd(bytes(zstd_frame(cpio()) + text(gzip(bytes(cpio()))) + std::string(5, '\0'))),
            "");
}

TEST(Initrd, WhatEndsTooEarlyIsRefused) {
  for (const std::string& whole : {cpio(), text(gzip(bytes(cpio()))), zstd_frame(cpio())}) {
    EXPECT_EQ(refusal_of_initrd(bytes(whole)), "");
    EXPECT_THAT(refusal_of_initrd(bytes(whole.substr(0, whole.size() / 2))), HasSubstr("truncated"));
  }
  EXPECT_THAT(refusal_of_initrd(bytes(cpio_file("init", "x"))), HasSubstr("truncated"));
  EXPECT_THAT(refusal_of_initrd(bytes(cpio() + zstd_frame("abc").substr(0, 10))), HasSubstr("from byte"));
}

TEST(Initrd, Lz4BlocksAndAnXzFooterAreFollowed) {
  const std::string lz4 = std::string("\x02\x21\x4c\x18") + std::string("\x03\0\0\0abc", 7);
  EXPECT_EQ(refusal_of_initrd(bytes(lz4)), "");
  EXPECT_THAT(refusal_of_initrd(bytes(lz4.substr(0, 9))), HasSubstr("truncated"));
  const std::string xz = std::string(
                             "\xfd"
                             "7zXZ\0",
                             6) +
                         std::string(20, 'x');
  EXPECT_EQ(refusal_of_initrd(bytes(xz + "YZ")), "");
  EXPECT_EQ(refusal_of_initrd(bytes(xz + "YZ" + std::string(8, '\0'))), "");
  EXPECT_THAT(refusal_of_initrd(bytes(xz)), HasSubstr("truncated"));
}

TEST(Initrd, AnythingElseIsRefusedByName) {
  EXPECT_THAT(refusal_of_initrd(bytes("hello, world")), HasSubstr("the.initrd"));
  EXPECT_THAT(refusal_of_initrd({}), HasSubstr("empty"));
  EXPECT_THAT(refusal_of_initrd(bytes(cpio() + "garbage")), HasSubstr("byte"));
}

TEST(Initrd, LengthsThatOverflowAreRefused) {
  std::string archive = cpio();
  archive.replace(6 + 6 * 8, 8, "ffffffff");
  EXPECT_THAT(refusal_of_initrd(bytes(archive)), HasSubstr("truncated"));
  archive.replace(6 + 11 * 8, 8, "fffffffz");
  EXPECT_THAT(refusal_of_initrd(bytes(archive)), HasSubstr("damaged"));
}

}  // namespace
}  // namespace cloister::machine
