// SPDX-License-Identifier: Apache-2.0
#include "base/os/mapping.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>

#include "base/os/entropy.h"
#include "base/os/mem_file.h"

namespace cloister::os {
namespace {

constexpr Bytes kSize{16 * kPageSize};

TEST(Mapping, AnonymousMemoryReadsAsZerosAndKeepsWhatIsWritten) {
  const Mapping mapping = Mapping::anonymous(kSize, Protection::kReadWrite).take();
  EXPECT_EQ(mapping.data()[kSize.raw - 1], std::byte{0});
  std::memset(mapping.data(), 0x5a, kSize.raw);
  EXPECT_EQ(mapping.data()[kSize.raw - 1], std::byte{0x5a});
}

TEST(Mapping, DiscardedPagesReadAsZerosAgain) {
  Mapping mapping = Mapping::anonymous(kSize, Protection::kReadWrite).take();
  std::memset(mapping.data(), 0x5a, kSize.raw);
  mapping.discard(kPageSize, {kPageSize});
  EXPECT_EQ(mapping.data()[kPageSize], std::byte{0});
  EXPECT_EQ(mapping.data()[2 * kPageSize], std::byte{0x5a});
}

TEST(Mapping, ManyRangesAreGivenBackAndNothingElse) {
  constexpr u64 kPages = 2000;
  Mapping mapping = Mapping::anonymous({kPages * kPageSize}, Protection::kReadWrite).take();
  std::memset(mapping.data(), 0x5a, mapping.size().raw);
  std::vector<Mapping::Range> ranges;
  for (u64 page = 0; page < kPages; page += 3) ranges.push_back({page * kPageSize, {kPageSize}});
  mapping.discard(ranges);
  for (u64 page = 0; page < kPages; ++page)
    ASSERT_EQ(mapping.data()[page * kPageSize], std::byte{page % 3 == 0 ? u8{0} : u8{0x5a}}) << page;
  mapping.discard(std::span<const Mapping::Range>());
}

TEST(MappingDeathTest, AnAccessPastEitherEndFaults) {
  const Mapping mapping = Mapping::anonymous(kSize, Protection::kReadWrite).take();
  volatile std::byte* data = mapping.data();
  EXPECT_DEATH(data[kSize.raw] = std::byte{1}, "");
  EXPECT_DEATH(*(data - 1) = std::byte{1}, "");
}

TEST(MappingDeathTest, AReservationOpensOnlyWhereItIsProtectedSo) {
  Mapping mapping = Mapping::reserve(kSize).take();
  ASSERT_TRUE(mapping.protect(kPageSize, {kPageSize}, Protection::kReadWrite));
  volatile std::byte* data = mapping.data();
  data[kPageSize] = std::byte{1};
  EXPECT_DEATH(data[0] = std::byte{1}, "");
}

TEST(Mapping, ALargeOneBeginsAtAHugePage) {
  const Mapping mapping = Mapping::reserve({64 * kMiB}).take();
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(mapping.data()) % (2 * kMiB), 0u);
}

TEST(Mapping, MoreThanTheAddressSpaceIsRefusedByName) {
  const auto refused = Mapping::reserve({u64{1} << 60});
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.failure().message.find("address space"), std::string::npos);
}

TEST(MemFile, TwoMappingsSeeOneMemory) {
  const MemFile file = MemFile::create("test", kSize).take();
  const Mapping writer = file.map(Protection::kReadWrite).take();
  const Mapping reader = file.map(Protection::kRead).take();
  writer.data()[5000] = std::byte{7};
  EXPECT_EQ(reader.data()[5000], std::byte{7});
}

TEST(MemFile, CostsTheHostOnlyWhatIsWrittenAndGivesItBack) {
  MemFile file = MemFile::create("test", {kGiB}).take();
  const Mapping mapping = file.map(Protection::kReadWrite).take();
  EXPECT_EQ(file.allocated(), Bytes{0});
  std::memset(mapping.data() + 100 * kPageSize, 1, 8 * kPageSize);
  EXPECT_EQ(file.allocated(), Bytes{8 * kPageSize});
  ASSERT_TRUE(file.punch_hole(102 * kPageSize, {4 * kPageSize}));
  EXPECT_EQ(file.allocated(), Bytes{4 * kPageSize});
  EXPECT_EQ(mapping.data()[102 * kPageSize], std::byte{0});
  EXPECT_EQ(file.allocated(), Bytes{5 * kPageSize}) << "reading a hole through a mapping allocates it";
}

TEST(Entropy, TwoDrawsDiffer) {
  std::byte first[32], second[32];
  fill_random(first);
  fill_random(second);
  EXPECT_NE(std::memcmp(first, second, sizeof first), 0);
}

}  // namespace
}  // namespace cloister::os
