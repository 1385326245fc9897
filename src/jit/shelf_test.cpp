// SPDX-License-Identifier: Apache-2.0
#include "jit/shelf.h"

#include <gtest/gtest.h>

#include <cstring>

#include "isa/encode.h"
#include "isa/registers.h"

namespace cloister::jit {
namespace {

using isa::Op;
constexpr Gpn kPage{0x80000};
constexpr GuestPhys kAddress = kPage.address();

// Two blocks at 0 and 4, a loop; `value` is one of its instructions' constant.
PageCopy loop_of(i32 value) {
  PageCopy page{};
  const u32 code[] = {isa::encode({.op = Op::beq, .rs1 = isa::reg::a0, .rs2 = isa::reg::a1, .imm = 8}),
                      isa::encode({.op = Op::addi, .rd = isa::reg::a0, .rs1 = isa::reg::a0, .imm = value}),
                      isa::encode({.op = Op::jal, .imm = -8})};
  std::memcpy(page.data(), code, sizeof(code));
  return page;
}

Shelf::Entry made_of(const PageCopy& page, Tier tier = Tier::kFirst, Gpn number = kPage) {
  Order order{};
  order.pages[0].number = number;
  order.tier = tier;
  order.pages[0].bytes = page;
  for (const u32 each : {0u, 4u}) order.pages[0].wanted.set(each / 2);
  return make(order);
}

TEST(Shelf, HasWhatWasMadeOfTheSameInstructionsByEachOfItsWaysIn) {
  Shelf shelf(Bytes{kMiB});
  const PageCopy page = loop_of(1);
  const auto product = made_of(page);
  shelf.put(product);
  EXPECT_EQ(shelf.find(kAddress, Tier::kFirst), product);
  EXPECT_EQ(shelf.find(kAddress + 4, Tier::kFirst), product);
  EXPECT_EQ(shelf.find(kAddress + 8, Tier::kFirst), nullptr);
  EXPECT_EQ(shelf.find(kAddress + kPageSize, Tier::kFirst), nullptr);
}

TEST(Shelf, GivesTheBetterOneThoughLessWasWantedAndNeverLess) {
  Shelf shelf(Bytes{kMiB});
  const PageCopy page = loop_of(1);
  shelf.put(made_of(page));
  EXPECT_EQ(shelf.find(kAddress, Tier::kFinal), nullptr);
  const auto better = made_of(page, Tier::kFinal);
  shelf.put(better);
  shelf.put(made_of(page));
  EXPECT_EQ(shelf.find(kAddress, Tier::kFirst), better);
  EXPECT_EQ(shelf.find(kAddress, Tier::kFinal), better);
}

TEST(Shelf, DropsWhatWasMadeFirstWhenItIsFull) {
  const PageCopy page = loop_of(1);
  const Bytes each = made_of(page)->size();
  Shelf shelf(each + each);
  const auto has = [&](u64 i) { return shelf.find(kAddress + i * kPageSize, Tier::kFirst) != nullptr; };
  for (u64 i = 0; i < 3; ++i) shelf.put(made_of(page, Tier::kFirst, Gpn{kPage.raw + i}));
  EXPECT_FALSE(has(0));
  EXPECT_TRUE(has(1));
  EXPECT_TRUE(has(2));
}

TEST(Shelf, CanBecomeSmaller) {
  const PageCopy page = loop_of(1);
  const auto first = made_of(page), last = made_of(page, Tier::kFirst, Gpn{kPage.raw + 1});
  Shelf shelf(Bytes{kMiB});
  shelf.put(first);
  shelf.put(last);
  shelf.shrink_to(last->size());
  EXPECT_EQ(shelf.find(kAddress, Tier::kFirst), nullptr);
  EXPECT_EQ(shelf.find(kAddress + kPageSize, Tier::kFirst), last);
}

TEST(Shelf, OfNoRoomKeepsNothing) {
  Shelf shelf(Bytes{0});
  const PageCopy page = loop_of(1);
  shelf.put(made_of(page));
  EXPECT_EQ(shelf.find(kAddress, Tier::kFirst), nullptr);
}

}  // namespace
}  // namespace cloister::jit
