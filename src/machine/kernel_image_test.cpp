// SPDX-License-Identifier: Apache-2.0
#include "machine/kernel_image.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "machine/gzip.h"
#include "machine/testing_images.h"

namespace cloister::machine {
namespace {

using testing::bytes;
using testing::gzip;
using ::testing::HasSubstr;
using testing::image;
using testing::put;

std::string refusal(std::vector<std::byte> content) {
  const auto kernel = parse_kernel(std::move(content), "the.file");
  if (kernel.ok()) return "";
  EXPECT_THAT(kernel.failure().message, HasSubstr("the.file"));
  return kernel.failure().message;
}

std::vector<std::byte> all_of(BootFile& file) {
  const auto found = file.at(0, file.size());
  return {found.begin(), found.end()};
}

TEST(KernelImage, AnImageSaysWhereItWantsToBe) {
  auto content = image(4096);
  put(content, 16, u64{8192});
  auto kernel = parse_kernel(content, "k");
  ASSERT_TRUE(kernel);
  EXPECT_EQ(kernel->text_offset, 2 * kMiB);
  EXPECT_EQ(kernel->image_size, 8192u);
  EXPECT_EQ(all_of(kernel->content), content);
}

TEST(KernelImage, AnImageInGzipIsUnpacked) {
  auto kernel = parse_kernel(gzip(image(100'000)), "k");
  ASSERT_TRUE(kernel);
  EXPECT_EQ(all_of(kernel->content), image(100'000));
}

TEST(KernelImage, WhatIsNoRiscvKernelIsNamedAsWhatItIs) {
  std::vector<std::byte> x86(4096);
  std::memcpy(x86.data() + 0x202, "HdrS", 4);
  EXPECT_THAT(refusal(x86), HasSubstr("x86 kernel"));
  std::vector<std::byte> arm(4096);
  std::memcpy(arm.data() + 0x38, "ARM\x64", 4);
  EXPECT_THAT(refusal(arm), HasSubstr("arm64 kernel"));
  EXPECT_THAT(refusal(bytes("\x7f"
                            "ELF" +
                            std::string(100, 'x'))),
              HasSubstr("ELF"));
  EXPECT_THAT(refusal(gzip(x86)), HasSubstr("x86 kernel"));
  EXPECT_THAT(refusal(bytes("\x28\xb5\x2f\xfd" + std::string(100, 'x'))), HasSubstr("zstd"));
  EXPECT_THAT(refusal(std::vector<std::byte>(100)), HasSubstr("no RISC-V Linux Image"));
}

TEST(KernelImage, AFileTooShortForItsHeaderIsTruncated) {
  EXPECT_THAT(refusal({}), HasSubstr("truncated"));
  EXPECT_THAT(refusal(bytes("MZ")), HasSubstr("truncated"));
}

// As Linux's own: sections that end where the file ends.
TEST(KernelImage, AFileThatEndsBeforeItsLastSectionIsTruncated) {
  auto content = image(8192);
  put(content, 60, u32{64});
  std::memcpy(content.data() + 64, "PE\0\0", 4);
  put(content, 64 + 6, u16{1});
  put(content, 64 + 24 + 16, u32{4096});  // raw size
  put(content, 64 + 24 + 20, u32{4096});  // raw start
  EXPECT_EQ(refusal(content), "");
  content.resize(8191);
  EXPECT_THAT(refusal(content), HasSubstr("8191 bytes of 8192"));
}

TEST(KernelImage, AFileThatIsOnlyAHeaderIsTruncated) {
  auto content = image(8192);
  content.resize(64);
  EXPECT_THAT(refusal(content), HasSubstr("only 64 bytes"));
  content.resize(80);
  put(content, 60, u32{4096});
  EXPECT_THAT(refusal(content), HasSubstr("PE header"));
}

TEST(KernelImage, AHeaderThatContradictsItselfIsRefused) {
  auto odd = image(4096);
  put(odd, 8, u64{0x1000});
  EXPECT_THAT(refusal(odd), HasSubstr("0x1000"));
  auto huge = image(4096);
  put(huge, 16, ~u64{0});
  EXPECT_THAT(refusal(huge), HasSubstr("damaged"));
  auto small = image(4096);
  put(small, 16, u64{100});
  EXPECT_THAT(refusal(small), HasSubstr("damaged"));
  auto big_endian = image(4096);
  put(big_endian, 24, u64{1});
  EXPECT_THAT(refusal(big_endian), HasSubstr("big-endian"));
}

TEST(KernelImage, DamagedAndTruncatedGzipIsRefused) {
  auto packed = gzip(image(100'000));
  auto cut = packed;
  cut.resize(cut.size() - 4);
  EXPECT_THAT(refusal(cut), HasSubstr("truncated"));
  packed[packed.size() - 6] ^= std::byte{1};  // in the checksum
  EXPECT_THAT(refusal(packed), HasSubstr("damaged"));
}

TEST(Gzip, OutputOverTheLimitIsRefused) {
  BootFile packed(gzip(std::vector<std::byte>(1'000'000)));
  EXPECT_TRUE(gunzip(packed, Bytes{1'000'000}, "it"));
  const auto over = gunzip(packed, Bytes{999'999}, "it");
  ASSERT_FALSE(over);
  EXPECT_THAT(over.failure().message, HasSubstr("more than"));
}

TEST(Gzip, AMemberIsMeasuredWithoutWhatFollows) {
  auto packed = gzip(bytes("something"));
  const std::size_t size = packed.size();
  packed.resize(size + 100);
  BootFile file(std::move(packed));
  const auto measured = measure_gzip(file, 0, "it");
  ASSERT_TRUE(measured);
  EXPECT_EQ(measured->raw, size);
}

}  // namespace
}  // namespace cloister::machine
