// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <thread>

#include "hart/testing_guest.h"

namespace cloister::hart::testing {
namespace {

using isa::Cause;

constexpr u64 kVa = 0x12345000;
constexpr u64 kValue = 0x1122334455667788;

// A guest with paging on and one page mapped at kVa to kData, as the flags say.
struct Paged {
  explicit Paged(isa::PagingShape shape = isa::kSv39, HartOptions options = {})
      : guest(options), tables(guest, shape) {
    guest.poke(kData, kValue);
    tables.activate();
  }
  std::optional<Trap> load(u64 va) {
    guest.set(a0, va);
    return guest.run({testing::load(Op::ld, a1, a0)});
  }
  std::optional<Trap> store(u64 va, u64 value = 1) {
    guest.set(a0, va);
    guest.set(a1, value);
    return guest.run({testing::store(Op::sd, a1, a0)});
  }
  std::optional<Trap> fetch(u64 va) { return guest.run_at(va); }
  std::optional<Trap> user_fetch(u64 va) { return guest.run_user(va); }
  void map(u64 flags, u64 va = kVa, u32 level = 0) { tables.map(va, kData, flags, level); }
  void flush() { guest.run({sfence()}); }
  void status(u64 bits) {
    guest.set(t0, bits);
    guest.run({csrs(Csr::sstatus, t0)});
  }
  void no_status(u64 bits) {
    guest.set(t0, bits);
    guest.run({csrc(Csr::sstatus, t0)});
  }

  TestGuest guest;
  TestTables tables;
};

class EveryShape : public ::testing::TestWithParam<isa::PagingShape> {};
INSTANTIATE_TEST_SUITE_P(Mmu, EveryShape, ::testing::Values(isa::kSv39, isa::kSv48, isa::kSv57));

TEST_P(EveryShape, LoadsAndStoresGoWhereTheTablesSay) {
  Paged paged(GetParam());
  paged.map(kReadWrite | kUsed);
  EXPECT_FALSE(paged.load(kVa));
  EXPECT_EQ(paged.guest.reg(a1), kValue);
  EXPECT_FALSE(paged.store(kVa + 8, 42));
  EXPECT_EQ(paged.guest.peek(kData + 8), 42u);
}

TEST_P(EveryShape, EveryLevelMayHoldALeaf) {
  Paged paged(GetParam());
  for (u32 level = 1; level < GetParam().levels; ++level) {
    const u64 size = isa::PagingShape::leaf_pages(level) * kPageSize;
    const u64 va = level < 2 ? 0x40000000 : size * 5;
    const u64 pa = kData & ~(size - 1);
    paged.tables.map(va, pa, kReadWrite | kUsed, level);
    EXPECT_FALSE(paged.load(va + (kData - pa))) << level;
    EXPECT_EQ(paged.guest.reg(a1), kValue) << level;
  }
}

TEST_P(EveryShape, AMisalignedSuperpageFaults) {
  Paged paged(GetParam());
  for (u32 level = 1; level < GetParam().levels; ++level) {
    const u64 size = isa::PagingShape::leaf_pages(level) * kPageSize;
    paged.tables.map(size * 6, kBase + kPageSize, kReadWrite | kUsed, level);
    EXPECT_TRUE(paged.load(size * 6)->is(Cause::kLoadPage)) << level;
  }
}

TEST_P(EveryShape, AnAddressThatIsNotCanonicalFaults) {
  Paged paged(GetParam());
  const u64 top = u64{1} << (GetParam().address_bits() - 1);
  for (const u64 va : {top, ~u64{0} - (top << 1), u64{1} << 63}) {
    const auto trap = paged.load(va);
    ASSERT_TRUE(trap);
    EXPECT_TRUE(trap->is(Cause::kLoadPage));
    EXPECT_EQ(trap->tval, va);
  }
}

TEST(Mmu, EachUseHasItsOwnFaultWithTheAddressInStval) {
  Paged paged;
  const auto load = paged.load(kVa + 24);
  EXPECT_TRUE(load->is(Cause::kLoadPage));
  EXPECT_EQ(load->tval, kVa + 24);
  EXPECT_EQ(load->epc, paged.guest.next_code() - 64);
  EXPECT_TRUE(paged.store(kVa)->is(Cause::kStorePage));
  const auto fetch = paged.fetch(kVa);
  EXPECT_TRUE(fetch->is(Cause::kFetchPage));
  EXPECT_EQ(fetch->tval, kVa);
  EXPECT_EQ(fetch->epc, kVa);
}

TEST(Mmu, PermissionsAreThoseOfTheLeaf) {
  Paged paged;
  paged.map(pte::kValid | pte::kRead | kUsed);
  EXPECT_FALSE(paged.load(kVa));
  EXPECT_TRUE(paged.store(kVa)->is(Cause::kStorePage));
  EXPECT_TRUE(paged.fetch(kVa)->is(Cause::kFetchPage));
  paged.map(pte::kValid | pte::kExecute | kUsed);
  paged.flush();
  EXPECT_TRUE(paged.load(kVa)->is(Cause::kLoadPage));
}

TEST(Mmu, WriteWithoutReadIsReserved) {
  Paged paged;
  paged.map(pte::kValid | pte::kWrite | kUsed);
  EXPECT_TRUE(paged.store(kVa)->is(Cause::kStorePage));
  paged.map(pte::kValid | pte::kWrite | pte::kExecute | kUsed);
  EXPECT_TRUE(paged.store(kVa)->is(Cause::kStorePage));
}

TEST(Mmu, MxrMakesExecutablePagesReadable) {
  Paged paged;
  paged.map(pte::kValid | pte::kExecute | kUsed);
  EXPECT_TRUE(paged.load(kVa));
  paged.status(isa::sstatus::kMxr);
  EXPECT_FALSE(paged.load(kVa));
  EXPECT_TRUE(paged.store(kVa));
  paged.no_status(isa::sstatus::kMxr);
  EXPECT_TRUE(paged.load(kVa));
}

TEST(Mmu, SumLetsTheSupervisorUseUserPagesButNotExecuteThem) {
  Paged paged;
  paged.map(kAll | pte::kUser | kUsed);
  EXPECT_TRUE(paged.load(kVa)->is(Cause::kLoadPage));
  paged.status(isa::sstatus::kSum);
  EXPECT_FALSE(paged.load(kVa));
  EXPECT_FALSE(paged.store(kVa));
  EXPECT_TRUE(paged.fetch(kVa)->is(Cause::kFetchPage));
  paged.no_status(isa::sstatus::kSum);
  EXPECT_TRUE(paged.load(kVa)->is(Cause::kLoadPage));
}

TEST(Mmu, UserModeReachesUserPagesOnly) {
  Paged paged;
  paged.guest.put(kData, {load(Op::ld, a1, a0), code(Op::ecall)});
  paged.map(kAll | pte::kUser | kUsed);
  paged.tables.map(kVa + kPageSize, kData, kReadWrite | kUsed);
  paged.guest.set(a0, kVa);
  EXPECT_TRUE(paged.user_fetch(kVa)->is(Cause::kUserCall));
  paged.guest.set(a0, kVa + kPageSize);
  EXPECT_TRUE(paged.user_fetch(kVa)->is(Cause::kLoadPage));
  paged.map(kAll | kUsed);
  paged.flush();
  EXPECT_TRUE(paged.user_fetch(kVa)->is(Cause::kFetchPage));
}

TEST(Mmu, TheHardwareSetsAccessedAndDirty) {
  Paged paged;
  paged.map(kReadWrite);
  EXPECT_FALSE(paged.load(kVa));
  EXPECT_EQ(paged.tables.entry_of(kVa) & kUsed, pte::kAccessed);
  EXPECT_FALSE(paged.store(kVa));
  EXPECT_EQ(paged.tables.entry_of(kVa) & kUsed, kUsed);
}

TEST(Mmu, ARefusedAccessSetsNothing) {
  Paged paged;
  paged.map(pte::kValid | pte::kRead);
  EXPECT_TRUE(paged.store(kVa));
  EXPECT_EQ(paged.tables.entry_of(kVa) & kUsed, 0u);
}

TEST(Mmu, ReservedBitsFault) {
  for (u32 bit = 54; bit <= 60; ++bit) {
    Paged paged;
    paged.map(kReadWrite | kUsed | u64{1} << bit);
    EXPECT_TRUE(paged.load(kVa)->is(Cause::kLoadPage)) << bit;
  }
}

TEST(Mmu, MemoryTypesAreTakenButTheReservedOneFaults) {
  for (const u64 type : {0u, 1u, 2u, 3u}) {
    Paged paged;
    paged.map(kReadWrite | kUsed | type << pte::kMemoryTypeShift);
    EXPECT_EQ(paged.load(kVa).has_value(), type == 3) << type;
  }
}

TEST(Mmu, APointerWithBitsOfALeafFaults) {
  for (const u64 bit :
       {pte::kUser, pte::kAccessed, pte::kDirty, u64{1} << pte::kMemoryTypeShift, pte::kNapot}) {
    Paged paged;
    paged.map(kReadWrite | kUsed);
    const u64 pointer = paged.tables.place(kVa, 1);
    paged.guest.poke(pointer, paged.guest.peek(pointer) | bit);
    EXPECT_TRUE(paged.load(kVa)->is(Cause::kLoadPage)) << bit;
  }
}

TEST(Mmu, APointerInPlaceOfALeafFaults) {
  Paged paged;
  paged.map(pte::kValid);
  EXPECT_TRUE(paged.load(kVa)->is(Cause::kLoadPage));
}

TEST(Mmu, NapotMapsSixteenPages) {
  Paged paged;
  const u64 group = 0x12340000;
  const u64 napot = kReadWrite | kUsed | pte::kNapot | u64{8} << pte::kPpnShift;
  for (u64 i = 0; i < 16; ++i) {
    paged.tables.map(group + i * kPageSize, kData, napot);
    paged.guest.poke(kData + i * kPageSize, 100 + i);
  }
  for (u64 i = 0; i < 16; ++i) {
    EXPECT_FALSE(paged.load(group + i * kPageSize));
    EXPECT_EQ(paged.guest.reg(a1), 100 + i);
  }
}

TEST(Mmu, OtherNapotSizesAndNapotSuperpagesFault) {
  Paged paged;
  paged.map(kReadWrite | kUsed | pte::kNapot | u64{4} << pte::kPpnShift);
  EXPECT_TRUE(paged.load(kVa)->is(Cause::kLoadPage));
  paged.tables.map(0x40000000, kBase, kReadWrite | kUsed | pte::kNapot, 1);
  EXPECT_TRUE(paged.load(0x40000000)->is(Cause::kLoadPage));
}

TEST(Mmu, TablesAndFetchesOutsideMemoryAreAccessFaults) {
  Paged paged;
  paged.map(kReadWrite | kUsed);
  paged.guest.poke(paged.tables.place(kVa, 1), 0x1000 >> 12 << 10 | pte::kValid);
  EXPECT_TRUE(paged.load(kVa)->is(Cause::kLoadAccess));
  EXPECT_TRUE(paged.store(kVa)->is(Cause::kStoreAccess));
  EXPECT_TRUE(paged.fetch(kVa)->is(Cause::kFetchAccess));
  paged.tables.map(0x40000000, kDevice, kAll | kUsed);
  EXPECT_TRUE(paged.fetch(0x40000000)->is(Cause::kFetchAccess));
}

TEST(Mmu, DevicesAreReachedByAlignedAccessesOfAnySize) {
  Paged paged;
  paged.tables.map(kVa, kDevice, kReadWrite | kUsed);
  EXPECT_FALSE(paged.store(kVa, kValue));
  EXPECT_EQ(paged.guest.device_register, kValue);
  EXPECT_FALSE(paged.load(kVa));
  EXPECT_EQ(paged.guest.reg(a1), kValue);
  EXPECT_TRUE(paged.load(kVa + 8)->is(Cause::kLoadAccess));
  EXPECT_TRUE(paged.store(kVa + 8)->is(Cause::kStoreAccess));
  EXPECT_TRUE(paged.load(kVa + 2)->is(Cause::kLoadMisaligned));
  EXPECT_TRUE(paged.store(kVa + 2)->is(Cause::kStoreMisaligned));
}

TEST(Mmu, AMisalignedAccessMayCrossPagesThatLieApart) {
  Paged paged;
  paged.tables.map(kVa, kData, kReadWrite | kUsed);
  paged.tables.map(kVa + kPageSize, kData + 5 * kPageSize, kReadWrite | kUsed);
  EXPECT_FALSE(paged.store(kVa + kPageSize - 3, kValue));
  EXPECT_EQ(paged.guest.peek(kData + kPageSize - 8) >> 40, kValue & 0xffffff);
  EXPECT_EQ(paged.guest.peek(kData + 5 * kPageSize) & 0xffffffffff, kValue >> 24);
  EXPECT_FALSE(paged.load(kVa + kPageSize - 3));
  EXPECT_EQ(paged.guest.reg(a1), kValue);
}

TEST(Mmu, AnAccessAcrossPagesThatFaultsOnTheSecondWritesNothing) {
  Paged paged;
  paged.tables.map(kVa, kData, kReadWrite | kUsed);
  paged.guest.poke(kData + kPageSize - 8, 0);
  const auto trap = paged.store(kVa + kPageSize - 3, kValue);
  ASSERT_TRUE(trap);
  EXPECT_TRUE(trap->is(Cause::kStorePage));
  EXPECT_EQ(trap->tval, kVa + kPageSize);
  EXPECT_EQ(paged.guest.peek(kData + kPageSize - 8), 0u);
  EXPECT_EQ(paged.load(kVa + kPageSize - 3)->tval, kVa + kPageSize);
}

TEST(Mmu, ATinySoftTlbGivesTheSameAnswers) {
  Paged paged(isa::kSv39, {4, Bytes{16 * kMiB}});
  for (u64 i = 0; i < 64; ++i) {
    paged.tables.map(kVa + i * kPageSize, kData + i * kPageSize, kReadWrite | kUsed);
    paged.guest.poke(kData + i * kPageSize, i);
  }
  for (u64 i = 0; i < 256; ++i) {
    EXPECT_FALSE(paged.load(kVa + i * 7 % 64 * kPageSize));
    EXPECT_EQ(paged.guest.reg(a1), i * 7 % 64);
  }
}

TEST(Mmu, AModeThatIsNotThereLeavesSatpAsItWas) {
  Paged paged;
  const u64 satp = paged.tables.satp();
  for (const u64 mode : {1u, 5u, 7u, 11u, 15u}) {
    paged.guest.set(t0, (satp & ~(u64{15} << 60)) | mode << 60);
    paged.guest.run({csrw(Csr::satp, t0), csrr(a0, Csr::satp)});
    EXPECT_EQ(paged.guest.reg(a0), satp);
  }
}

// -- Fences -----------------------------------------------------------------------------------------------

// Whether a load of kVa finds the new page after the map was changed and `fence` was done.
class Fences : public ::testing::Test {
 protected:
  Fences() : tables_(guest_, isa::kSv39) {
    guest_.poke(kData, 1);
    guest_.poke(kData + kPageSize, 2);
  }
  u64 load(u64 va) {
    guest_.set(a0, va);
    EXPECT_FALSE(guest_.run({testing::load(Op::ld, a1, a0)}));
    return guest_.reg(a1);
  }
  void fence(u64 va, u64 asid, u32 rs1, u32 rs2) {
    guest_.set(a0, va);
    guest_.set(a1, asid);
    guest_.run({sfence(rs1, rs2)});
  }
  void map(u64 pa, u64 flags = kReadWrite | kUsed) { tables_.map(kVa, pa, flags); }

  TestGuest guest_;
  TestTables tables_;
};

TEST_F(Fences, EachFormMakesAChangeSeen) {
  tables_.activate(7);
  for (const auto& [rs1, rs2] : {std::pair<u32, u32>{0, 0}, {a0, 0}, {0, a1}, {a0, a1}}) {
    map(kData);
    fence(0, 0, 0, 0);
    EXPECT_EQ(load(kVa), 1u);
    map(kData + kPageSize);
    fence(kVa, 7, rs1, rs2);
    EXPECT_EQ(load(kVa), 2u);
  }
}

TEST_F(Fences, ByAddressReachAllOfASuperpageAndOfANapotGroup) {
  tables_.activate();
  tables_.map(0x40000000, kBase, kReadWrite | kUsed, 1);
  EXPECT_EQ(load(0x40000000 + kData - kBase), 1u);
  tables_.map(0x40000000, kBase + 0x200000, kReadWrite | kUsed, 1);
  fence(0x40000000 + 0x1ff000, 0, a0, 0);
  EXPECT_EQ(load(0x40000000 + kData - kBase), 0u);

  const u64 napot = kReadWrite | kUsed | pte::kNapot | u64{8} << pte::kPpnShift;
  for (u64 i = 0; i < 16; ++i) tables_.map(0x50000 + i * kPageSize, kData, napot);
  EXPECT_EQ(load(0x50000), 1u);
  for (u64 i = 0; i < 16; ++i) tables_.map(0x50000 + i * kPageSize, kBase + 0x200000, napot);
  fence(0x5f000, 0, a0, 0);
  EXPECT_EQ(load(0x50000), 0u);
}

TEST_F(Fences, SinvalDoesWhatSfenceDoes) {
  tables_.activate();
  map(kData);
  EXPECT_EQ(load(kVa), 1u);
  map(kData + kPageSize);
  guest_.set(a0, kVa);
  guest_.run({code(Op::sfence_w_inval), code(Op::sinval_vma, 0, a0, 0), code(Op::sfence_inval_ir)});
  EXPECT_EQ(load(kVa), 2u);
}

TEST_F(Fences, AddressSpacesKeepTheirTranslationsApart) {
  TestTables other(guest_, isa::kSv39, kTables + 0x100000);
  map(kData);
  other.map(kVa, kData + kPageSize, kReadWrite | kUsed);
  for (int i = 0; i < 3; ++i) {
    tables_.activate(1);
    EXPECT_EQ(load(kVa), 1u);
    other.activate(2);
    EXPECT_EQ(load(kVa), 2u);
  }
}

TEST_F(Fences, MoreAddressSpacesThanThereAreNumbersForStayApart) {
  TestTables other(guest_, isa::kSv39, kTables + 0x100000);
  map(kData);
  other.map(kVa, kData + kPageSize, kReadWrite | kUsed);
  for (u64 asid = 1; asid < 3000; asid += 2) {
    tables_.activate(asid);
    EXPECT_EQ(load(kVa), 1u);
    other.activate(asid + 1);
    EXPECT_EQ(load(kVa), 2u);
    if (asid % 500 == 1) guest_.run({sfence()});
  }
}

TEST_F(Fences, CodeThatIsMappedAnewIsFetchedFromTheNewPage) {
  tables_.activate();
  for (const u64 value : {1u, 2u}) {
    const u64 page = kData + value * kPageSize;
    guest_.put(page, {addi(a2, 0, static_cast<i32>(value)), addi(17, 0, 0), code(Op::ecall),
                      code(Op::jalr, 0, 31, 0)});
    tables_.map(kVa, page, kAll | kUsed);
    fence(kVa, 0, a0, 0);
    EXPECT_FALSE(guest_.run_at(kVa));
    EXPECT_EQ(guest_.reg(a2), value);
  }
}

// -- What a call of the environment may write for its caller ---------------------------------------------

// Finds the pages of kUserCode's program for a call.
class CallingGuest : public TestGuest {
 public:
  bool guest_call(Hart& hart) override {
    found.assign(reg(a1), std::nullopt);
    hart.pages_to_write(GuestVirt{reg(a0)}, found, while_found);
    hart.set_reg(a0, 77);
    return true;
  }
  std::optional<Trap> call(u64 va, u64 pages, u64 code_at = 0) {
    set(a0, va);
    set(a1, pages);
    return code_at == 0 ? run({code(Op::cloister_call)}) : run_user(code_at);
  }
  std::vector<std::optional<Gpn>> found;
  std::function<void()> while_found = [] {};
};

// Whoever takes a page away from a program waits until its harts have done their fences.
TEST(GuestCalls, WhatWasFoundHoldsAsLongAsItIsUsed) {
  CallingGuest guest;
  std::atomic<bool> fenced{false};
  std::thread other;
  guest.while_found = [&] {
    other = std::thread([&] {
      guest.hart().post_sfence_vma(GuestVirt{kData}, kPageSize, Wait::kUntilDone);
      fenced = true;
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
    EXPECT_FALSE(fenced);
  };
  EXPECT_FALSE(guest.call(kData, 3));
  other.join();
  EXPECT_TRUE(fenced);
}

TEST(GuestCalls, WithoutPagingAnAddressIsThePage) {
  CallingGuest guest;
  EXPECT_FALSE(guest.call(kData, 3));
  EXPECT_EQ(guest.reg(a0), 77u);
  ASSERT_EQ(guest.found.size(), 3u);
  EXPECT_EQ(guest.found[2], Gpn{(kData >> kPageShift) + 2});
}

TEST(GuestCalls, AUserMayNameOnlyPagesThatItMayWrite) {
  CallingGuest guest;
  TestTables tables(guest, isa::kSv39);
  const u64 va = 0x40'0000, user = 0x60'0000;
  const u64 at = kData >> kPageShift;
  tables.map(va, kData, kReadWrite | pte::kUser);
  tables.map(va + kPageSize, kData + kPageSize, kReadWrite | kUsed);  // the kernel's
  tables.map(va + 2 * kPageSize, kData + 2 * kPageSize, pte::kValid | pte::kRead | pte::kUser);  // read-only
  tables.map(va + 4 * kPageSize, kData + 9 * kPageSize, kReadWrite | pte::kUser);
  tables.map(user, kData + 0x8000, kAll | kUsed | pte::kUser);
  guest.put(kData + 0x8000, {code(Op::cloister_call), code(Op::ecall)});
  tables.activate();
  EXPECT_TRUE(guest.call(va, 5, user)->is(isa::Cause::kUserCall));
  EXPECT_EQ(guest.reg(a0), 77u);
  const std::vector<std::optional<Gpn>> wanted{Gpn{at}, std::nullopt, std::nullopt, std::nullopt,
                                               Gpn{at + 9}};
  EXPECT_EQ(guest.found, wanted);
  EXPECT_EQ(tables.entry_of(va) & kUsed, kUsed) << "as if it had been written";
  EXPECT_FALSE(guest.call(va, 2)) << "the kernel, without SUM";
  EXPECT_EQ(guest.found, (std::vector<std::optional<Gpn>>{std::nullopt, Gpn{at + 1}}));
}

TEST(GuestCalls, ALargeLeafIsWalkedOnce) {
  CallingGuest guest;
  TestTables tables(guest, isa::kSv39);
  const u64 va = 0x4000'0000, pages = 512;
  tables.map(va, kBase + 2 * kMiB, kReadWrite | kUsed, 1);
  tables.activate();
  const u64 before = guest.hart().tally().walks;
  EXPECT_FALSE(guest.call(va + 3 * kPageSize, pages));
  EXPECT_LE(guest.hart().tally().walks - before, 10u);
  EXPECT_EQ(guest.found[508], Gpn{(kBase + 2 * kMiB) / kPageSize + 511});
  EXPECT_EQ(guest.found[509], std::nullopt) << "behind its end";
}

}  // namespace
}  // namespace cloister::hart::testing
