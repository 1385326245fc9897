// SPDX-License-Identifier: Apache-2.0
#include "memory/guest_memory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <string>

namespace cloister::memory {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr GuestPhys kBase{0x8000'0000};
constexpr u64 kGuestPages = 64;
constexpr Gpn kFirst = gpn_of(kBase);

Gpn nth(u64 n) { return {kFirst.raw + n}; }
GuestPhys at(u64 page, u64 offset = 0) { return nth(page).address() + offset; }

// A hart that keeps one translation a page, as a soft TLB does.
class FakeHart : public TlbHolder {
 public:
  explicit FakeHart(GuestMemory& memory) : memory_(memory), id(memory.attach(*this)) { memory_.enter(id); }
  ~FakeHart() override {
    memory_.leave(id);
    memory_.detach(id);
  }
  void ask_for_safe_point() override { ++asked; }
  void forget(const PageSet& pages) override {
    ++forgot;
    if (pages.contains(watched)) has_watched = false;
  }
  Frame frame(Gpn page, Access access) { return memory_.frame(id, page, access).value(); }

 private:
  GuestMemory& memory_;

 public:
  const GuestMemory::HolderId id;
  Gpn watched = kFirst;
  bool has_watched = true;
  std::atomic<int> asked{0};
  int forgot = 0;
};

class GuestMemoryTest : public ::testing::Test {
 protected:
  ~GuestMemoryTest() override { memory->check_invariants(); }

  u64 count(PageState state) const { return memory->usage().in_state[static_cast<int>(state)].raw; }
  std::vector<std::byte> bytes(u64 size, u8 seed = 1) const {
    std::vector<std::byte> result(size);
    for (u64 i = 0; i < size; ++i) result[i] = static_cast<std::byte>(seed + i * 31 + (i >> 8));
    return result;
  }
  std::vector<std::byte> read(GuestPhys address, u64 size) const {
    std::vector<std::byte> result(size, std::byte{0xee});
    EXPECT_TRUE(memory->read(address, result));
    return result;
  }
  std::vector<Gpn> all_pages() const {
    std::vector<Gpn> pages;
    for (u64 i = 0; i < kGuestPages; ++i) pages.push_back(nth(i));
    return pages;
  }

  std::unique_ptr<GuestMemory> memory = GuestMemory::create(kBase, {kGuestPages * kPageSize}).take();
};

// -- Creation ----------------------------------------------------------------------------------------

TEST(GuestMemory, RefusesASizeThatIsNoWholePages) {
  for (const u64 size : {u64{0}, u64{1}, kPageSize + 1}) {
    EXPECT_THAT(GuestMemory::create(kBase, {size}).failure().message, HasSubstr("multiple of 4 KiB")) << size;
  }
}

TEST(GuestMemory, RefusesWhatEndsOverThePhysicalAddressSpace) {
  const u64 top = u64{1} << 56;
  EXPECT_THAT(GuestMemory::create({top - kPageSize}, {2 * kPageSize}).failure().message, HasSubstr("2^56"));
  EXPECT_THAT(GuestMemory::create({UINT64_MAX & ~kPageMask}, {kPageSize}).failure().message,
              HasSubstr("2^56"));
  EXPECT_THAT(GuestMemory::create({0x800}, {kPageSize}).failure().message, HasSubstr("begin at a page"));
  EXPECT_TRUE(GuestMemory::create({top - kPageSize}, {kPageSize}));
}

TEST(GuestMemory, HalfATerabyteCostsNothingUntilWritten) {
  const auto memory = GuestMemory::create(kBase, {512 * kGiB}).take();
  const GuestPhys last = kBase + (512 * kGiB - 8);
  EXPECT_EQ(memory->load<u64>(last), 0u);
  EXPECT_EQ(memory->host(), Bytes{0});
  EXPECT_TRUE(memory->store<u64>(last, 5));
  EXPECT_EQ(memory->load<u64>(last), 5u);
  EXPECT_EQ(memory->host(), Bytes{kPageSize});
}

// -- Reading and writing -----------------------------------------------------------------------------

TEST_F(GuestMemoryTest, UntouchedMemoryReadsAsZerosAndStaysFree) {
  EXPECT_EQ(read(kBase, kGuestPages * kPageSize), std::vector<std::byte>(kGuestPages * kPageSize));
  EXPECT_EQ(memory->host(), Bytes{0});
  EXPECT_EQ(count(PageState::kZero), kGuestPages);
}

TEST_F(GuestMemoryTest, WhatIsWrittenAcrossPageEndsIsReadBack) {
  const auto data = bytes(3 * kPageSize);
  ASSERT_TRUE(memory->write(at(4, 0xffd), data));
  EXPECT_EQ(read(at(4, 0xffd), data.size()), data);
  EXPECT_EQ(count(PageState::kPrivate), 4u);
  EXPECT_EQ(memory->host(), Bytes{4 * kPageSize});
  EXPECT_EQ(memory->state(nth(4)), PageState::kPrivate);
  EXPECT_EQ(memory->state(nth(8)), PageState::kZero);
}

TEST_F(GuestMemoryTest, ReadsRunThroughWrittenAndUnwrittenPagesAlike) {
  ASSERT_TRUE(memory->write(at(1), bytes(kPageSize)));
  ASSERT_TRUE(memory->write(at(3), bytes(kPageSize)));
  const auto seen = read(kBase, 5 * kPageSize);
  for (u64 page = 0; page < 5; ++page) {
    const std::vector<std::byte> one(seen.begin() + i64(page * kPageSize),
                                     seen.begin() + i64((page + 1) * kPageSize));
    EXPECT_EQ(one, page % 2 == 1 ? bytes(kPageSize) : std::vector<std::byte>(kPageSize)) << page;
  }
  EXPECT_EQ(memory->host(), Bytes{2 * kPageSize});
}

TEST_F(GuestMemoryTest, TheLastByteIsMemoryAndTheNextIsNot) {
  const GuestPhys end = at(kGuestPages);
  EXPECT_TRUE(memory->write(end - 1, bytes(1)));
  EXPECT_FALSE(memory->write(end - 1, bytes(2)));
  EXPECT_FALSE(memory->write(end, bytes(1)));
  EXPECT_FALSE(memory->write(kBase - 1, bytes(1)));
  EXPECT_TRUE(memory->write(end, {}));
  EXPECT_EQ(read(end - 1, 1), bytes(1));
}

TEST_F(GuestMemoryTest, SizesThatOverflowAreNoMemory) {
  for (const u64 size : {u64{1} << 63, UINT64_MAX, UINT64_MAX - kBase.raw + 1, UINT64_MAX - kBase.raw + 2}) {
    EXPECT_FALSE(memory->fill_zero(kBase, {size})) << size;
    EXPECT_FALSE(memory->fill_zero(at(3), {size})) << size;
    EXPECT_FALSE(
        memory->with_pinned(at(3), {size}, Access::kWrite, [](std::span<std::byte>) { return true; }));
  }
  for (const u64 address : {u64{0}, UINT64_MAX, UINT64_MAX - 7, ~kPageMask}) {
    EXPECT_FALSE(memory->load<u64>({address}).has_value()) << address;
    EXPECT_FALSE(memory->store<u8>({address}, 1)) << address;
    EXPECT_FALSE(memory->write({address}, bytes(8))) << address;
  }
  EXPECT_EQ(count(PageState::kPrivate), 0u);
}

TEST_F(GuestMemoryTest, SingleAccessesKeepTheirSizeAndPlace) {
  EXPECT_TRUE(memory->store<u32>(at(0, 4), 0x11223344));
  EXPECT_EQ(memory->load<u64>(at(0)), u64{0x11223344} << 32);
  EXPECT_EQ(memory->load<u16>(at(0, 6)), 0x1122);
  EXPECT_EQ(memory->load<u8>(at(0, 4)), 0x44);
  EXPECT_EQ(memory->load<u64>(at(9)), 0u);
}

TEST_F(GuestMemoryTest, MisalignedSingleAccessesAreRefused) {
  EXPECT_FALSE(memory->load<u16>(at(0, 1)).has_value());
  EXPECT_FALSE(memory->store<u64>(at(0, 0xffc), 1));
  EXPECT_FALSE(memory->load<u32>(at(kGuestPages, 0)).has_value());
}

TEST_F(GuestMemoryTest, FillingZeroPagesWithZerosMakesNoFrame) {
  ASSERT_TRUE(memory->write(at(2), bytes(kPageSize)));
  ASSERT_TRUE(memory->fill_zero(at(0, 100), {3 * kPageSize}));
  EXPECT_EQ(read(at(0), 4 * kPageSize), std::vector<std::byte>(4 * kPageSize));
  EXPECT_EQ(count(PageState::kPrivate), 1u);
}

TEST_F(GuestMemoryTest, FillZeroLeavesTheNeighboursAlone) {
  const auto data = bytes(2 * kPageSize);
  ASSERT_TRUE(memory->write(at(0), data));
  ASSERT_TRUE(memory->fill_zero(at(0, 0xff0), {32}));
  auto expected = data;
  std::fill_n(expected.begin() + 0xff0, 32, std::byte{0});
  EXPECT_EQ(read(at(0), 2 * kPageSize), expected);
}

// -- Pins --------------------------------------------------------------------------------------------

TEST_F(GuestMemoryTest, PinnedPrivatePagesComeAsOneRun) {
  std::vector<u64> runs;
  EXPECT_TRUE(memory->with_pinned(at(1, 10), {5 * kPageSize}, Access::kWrite, [&](std::span<std::byte> run) {
    runs.push_back(run.size());
    std::memset(run.data(), 7, run.size());
    return true;
  }));
  EXPECT_THAT(runs, ElementsAre(5 * kPageSize));
  EXPECT_EQ(memory->load<u8>(at(1, 9)), 0);
  EXPECT_EQ(memory->load<u8>(at(1, 10)), 7);
  EXPECT_EQ(memory->load<u8>(at(6, 9)), 7);
  EXPECT_EQ(memory->load<u8>(at(6, 10)), 0);
}

TEST_F(GuestMemoryTest, RunsEndWhereFramesAreNotNeighbours) {
  ASSERT_TRUE(memory->write(at(2), bytes(kPageSize)));
  std::vector<u64> runs;
  EXPECT_TRUE(
      memory->with_pinned(at(0, 1), {4 * kPageSize}, Access::kRead, [&](std::span<const std::byte> run) {
        runs.push_back(run.size());
        return true;
      }));
  EXPECT_THAT(runs, ElementsAre(2 * kPageSize - 1, kPageSize, kPageSize + 1));
  EXPECT_EQ(count(PageState::kPrivate), 1u) << "reading in place makes no frame";
}

TEST_F(GuestMemoryTest, AUserOfRunsMayStop) {
  int runs = 0;
  ASSERT_TRUE(memory->write(at(1), bytes(1)));
  EXPECT_FALSE(memory->with_pinned(at(0), {3 * kPageSize}, Access::kRead, [&](auto) { return ++runs < 2; }));
  EXPECT_EQ(runs, 2);
}

TEST_F(GuestMemoryTest, PinnedPagesAreNotDiscarded) {
  ASSERT_TRUE(memory->write(at(0), bytes(4 * kPageSize)));
  memory->with_pinned(at(1), {2 * kPageSize}, Access::kRead, [&](std::span<std::byte> run) {
    EXPECT_EQ(memory->discard(all_pages()), Pages{2});
    EXPECT_EQ(std::memcmp(run.data(), bytes(4 * kPageSize).data() + kPageSize, run.size()), 0);
    return true;
  });
  EXPECT_EQ(count(PageState::kPrivate), 2u);
  EXPECT_EQ(memory->discard(all_pages()), Pages{2});
}

TEST_F(GuestMemoryTest, AWriteUnderAPinIsSeenAsDirtyThoughMarksWereTakenMeanwhile) {
  memory->with_pinned(at(3), {1}, Access::kWrite, [&](std::span<std::byte> run) {
    memory->take_dirty(all_pages());
    run[0] = std::byte{1};
    return true;
  });
  EXPECT_TRUE(memory->take_dirty(all_pages())[3]);
}

// -- Giving back -------------------------------------------------------------------------------------

TEST_F(GuestMemoryTest, DiscardedPagesReadAsZerosAndTheHostHasThemBack) {
  ASSERT_TRUE(memory->write(kBase, bytes(kGuestPages * kPageSize)));
  EXPECT_EQ(memory->host(), Bytes{kGuestPages * kPageSize});
  EXPECT_EQ(memory->discard(all_pages()), Pages{kGuestPages});
  EXPECT_EQ(read(kBase, kGuestPages * kPageSize), std::vector<std::byte>(kGuestPages * kPageSize));
  EXPECT_EQ(memory->host(), Bytes{0});
}

TEST_F(GuestMemoryTest, DiscardTakesAnyOrderAndIgnoresDuplicatesAndWhatIsNoMemory) {
  ASSERT_TRUE(memory->write(at(10), bytes(4 * kPageSize)));
  const Gpn pages[] = {nth(12),      nth(10),          {0},     nth(12),
                       {UINT64_MAX}, nth(kGuestPages), nth(13), {kFirst.raw - 1}};
  EXPECT_EQ(memory->discard(pages), Pages{3});
  EXPECT_EQ(memory->state(nth(11)), PageState::kPrivate);
  EXPECT_EQ(memory->host(), Bytes{kPageSize});
}

TEST_F(GuestMemoryTest, ADiscardedPageCanBeWrittenAgain) {
  ASSERT_TRUE(memory->store<u64>(at(5), 1));
  EXPECT_EQ(memory->discard(std::array{nth(5)}), Pages{1});
  ASSERT_TRUE(memory->store<u64>(at(5, 8), 2));
  EXPECT_EQ(memory->load<u64>(at(5)), 0u);
  EXPECT_EQ(memory->load<u64>(at(5, 8)), 2u);
}

// -- Holders -----------------------------------------------------------------------------------------

TEST_F(GuestMemoryTest, FramesOfZeroPagesAreReadOnlyAndCostNothing) {
  FakeHart hart(*memory);
  const Frame frame = hart.frame(nth(0), Access::kRead);
  EXPECT_FALSE(frame.writable);
  EXPECT_EQ(std::memcmp(frame.host, std::vector<std::byte>(kPageSize).data(), kPageSize), 0);
  EXPECT_EQ(memory->host(), Bytes{0});
}

TEST_F(GuestMemoryTest, NothingIsBehindAPageThatIsNoMemory) {
  FakeHart hart(*memory);
  for (const Gpn page : {Gpn{0}, Gpn{kFirst.raw - 1}, nth(kGuestPages), Gpn{UINT64_MAX}}) {
    EXPECT_FALSE(memory->frame(hart.id, page, Access::kRead).has_value());
  }
}

TEST_F(GuestMemoryTest, TheFirstWriteWithoutAReadNeedsNoShootdown) {
  FakeHart hart(*memory);
  EXPECT_TRUE(hart.frame(nth(0), Access::kWrite).writable);
  EXPECT_EQ(hart.forgot, 0);
}

TEST_F(GuestMemoryTest, WritingAPageThatWasReadAsZeroTakesTheOldTranslationBack) {
  FakeHart hart(*memory);
  const Frame before = hart.frame(nth(0), Access::kRead);
  const Frame after = hart.frame(nth(0), Access::kWrite);
  EXPECT_NE(before.host, after.host);
  EXPECT_TRUE(after.writable);
  EXPECT_FALSE(hart.has_watched);
}

TEST_F(GuestMemoryTest, ADeviceThatWritesTakesTheZeroPageFromParkedHarts) {
  FakeHart hart(*memory);
  hart.frame(nth(0), Access::kRead);
  memory->leave(hart.id);
  EXPECT_TRUE(memory->store<u8>(at(0), 1));
  EXPECT_TRUE(hart.has_watched) << "a parked hart is not disturbed";
  memory->enter(hart.id);
  EXPECT_FALSE(hart.has_watched) << "and learns of it before it uses a frame";
}

TEST_F(GuestMemoryTest, SeveralHartsOnOneThreadDoNotWaitForEachOther) {
  FakeHart first(*memory), second(*memory);
  first.frame(nth(0), Access::kRead);
  second.frame(nth(0), Access::kRead);
  first.frame(nth(0), Access::kWrite);
  EXPECT_FALSE(first.has_watched);
  EXPECT_FALSE(second.has_watched);
}

TEST_F(GuestMemoryTest, AReadOfACleanPageMayNotBeWrittenUntilItIsAskedFor) {
  FakeHart hart(*memory);
  ASSERT_TRUE(memory->store<u8>(at(0), 1));
  EXPECT_TRUE(hart.frame(nth(0), Access::kRead).writable) << "dirty already";
  memory->take_dirty(all_pages());
  EXPECT_FALSE(hart.frame(nth(0), Access::kRead).writable);
  EXPECT_TRUE(hart.frame(nth(0), Access::kWrite).writable);
  EXPECT_TRUE(memory->take_dirty(all_pages())[0]);
}

// -- Marks -------------------------------------------------------------------------------------------

TEST_F(GuestMemoryTest, MarksSayWhatWasReadAndWhatWasWrittenSinceTheyWereTaken) {
  FakeHart hart(*memory);
  hart.frame(nth(0), Access::kRead);
  hart.frame(nth(1), Access::kWrite);
  read(at(2), 1);
  ASSERT_TRUE(memory->write(at(3), bytes(1)));
  const Gpn pages[] = {nth(0), nth(1), nth(2), nth(3), nth(4), nth(kGuestPages)};
  EXPECT_THAT(memory->take_touched(pages), ElementsAre(true, true, true, true, false, false));
  EXPECT_THAT(memory->take_dirty(pages), ElementsAre(false, true, false, true, false, false));
  EXPECT_FALSE(hart.has_watched) << "the next touch must be seen";
  EXPECT_THAT(memory->take_touched(pages), ElementsAre(false, false, false, false, false, false));
  hart.frame(nth(0), Access::kRead);
  EXPECT_THAT(memory->take_touched(pages), ElementsAre(true, false, false, false, false, false));
}

TEST_F(GuestMemoryTest, GivingAPageUpChangesItsContent) {
  ASSERT_TRUE(memory->store<u8>(at(0), 1));
  memory->take_dirty(all_pages());
  memory->discard(std::array{nth(0)});
  EXPECT_TRUE(memory->take_dirty(all_pages())[0]);
}

}  // namespace
}  // namespace cloister::memory
