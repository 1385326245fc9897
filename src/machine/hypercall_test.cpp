// SPDX-License-Identifier: Apache-2.0
#include "machine/hypercall.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <vector>

namespace cloister::machine {
namespace {

using memory::PageState;

constexpr GuestPhys kBase{0x8000'0000};
constexpr u64 kPages = 1024;
constexpr u64 kVirtual = 0x40'0000;  // where the program has its pages
constexpr u32 kAll = CLOISTER_FEATURE_BALLOON | CLOISTER_FEATURE_FILL | CLOISTER_FEATURE_CONDITION;

// A program's page table.
struct FakeMemory final : CallerMemory {
  void pages_to_write(GuestVirt va, std::span<std::optional<Gpn>> pages,
                      const std::function<void()>& then) override {
    ++walks;
    for (u64 i = 0; i < pages.size(); ++i) {
      const auto found = table.find(va.page() + i);
      pages[i] = found == table.end() ? std::nullopt : std::optional(found->second);
    }
    then();
  }
  std::map<u64, Gpn> table;
  int walks = 0;
};

class HypercallTest : public ::testing::Test {
 protected:
  HypercallTest() {
    for (u64 i = 0; i < 600; ++i) program.table[(kVirtual >> kPageShift) + i] = {kBase.page() + i};
  }
  ~HypercallTest() override { memory->check_invariants(); }

  GuestReply call(u64 function, std::initializer_list<u64> arguments = {}, u64 space = 1) {
    GuestCall made;
    made.function = function;
    made.space = space;
    std::copy(arguments.begin(), arguments.end(), made.arguments.begin());
    return hypercall.call(made, program);
  }
  GuestReply give(u64 first, u64 count) { return call(CLOISTER_CALL_BALLOON_GIVE, {page(first), count}); }
  static u64 page(u64 index) { return kVirtual + index * kPageSize; }
  static GuestPhys physical(u64 index) { return kBase + index * kPageSize; }
  void fill(u64 first, u64 count) {
    for (u64 i = first; i < first + count; ++i)
      ASSERT_TRUE(memory->write(physical(i), memory->balloon_value()));
  }
  cloister_condition record_at(GuestPhys address) {
    cloister_condition record{};
    EXPECT_TRUE(memory->read(address, std::as_writable_bytes(std::span(&record, 1))));
    return record;
  }
  void tell(u64 release) {
    cloister_condition record{};
    record.version = CLOISTER_ABI_VERSION;
    record.level = CLOISTER_HARD;
    record.release = release;
    memory->condition().write(record);
  }

  std::unique_ptr<memory::GuestMemory> memory =
      memory::GuestMemory::create(kBase, {kPages * kPageSize}).take();
  Hypercall hypercall{*memory, kAll};
  FakeMemory program;
};

void expect_given(const GuestReply& reply, u64 taken, u64 refused, u64 why) {
  EXPECT_EQ(reply.status, u64{CLOISTER_OK});
  EXPECT_EQ(reply.count, 3u);
  EXPECT_EQ(reply.results[0], taken);
  EXPECT_EQ(reply.results[1], refused);
  EXPECT_EQ(reply.results[2], why);
}

TEST_F(HypercallTest, ItTellsItsVersionAndWhatItHas) {
  const auto reply = call(CLOISTER_CALL_DISCOVER);
  EXPECT_EQ(reply.status, u64{CLOISTER_OK});
  EXPECT_EQ(reply.count, 2u);
  EXPECT_EQ(reply.results[0], u64{CLOISTER_ABI_VERSION});
  EXPECT_EQ(reply.results[1], kAll);
}

TEST_F(HypercallTest, UnknownFunctionsAndThoseThatAreOffAreToldApart) {
  EXPECT_EQ(call(7).status, u64{CLOISTER_NO_FUNCTION});
  EXPECT_EQ(call(~u64{0}).status, u64{CLOISTER_NO_FUNCTION});
  Hypercall off(*memory, 0);
  for (u64 function = 1; function <= CLOISTER_CALL_BALLOON_FILL; ++function) {
    const auto reply = off.call({function, {page(0), 1}, 1}, program);
    EXPECT_EQ(reply.status, u64{CLOISTER_OFF}) << function;
    EXPECT_EQ(reply.count, 0u) << "no register but a0 changes";
  }
}

TEST_F(HypercallTest, ThePageThatTheMarkMakesIsTaken) {
  const auto reply = call(CLOISTER_CALL_BALLOON_MARK);
  EXPECT_EQ(reply.count, 4u);
  for (u64 i = 0; i < 4; ++i) ASSERT_TRUE(memory->store<u64>(physical(0) + i * 8, reply.results[i]));
  expect_given(give(0, 1), 1, 1, CLOISTER_OK);
  EXPECT_EQ(memory->state(gpn_of(kBase)), PageState::kBalloonValue);
}

TEST_F(HypercallTest, TwoMebibytesGoWithOneWalk) {
  fill(0, 512);
  expect_given(give(0, 512), 512, 512, CLOISTER_OK);
  EXPECT_EQ(program.walks, 1);
  EXPECT_EQ(memory->usage().in(PageState::kBalloonValue), Pages{512});
  EXPECT_EQ(memory->host(), Bytes{0});
}

TEST_F(HypercallTest, TheFirstPageThatWasNotTakenIsNamedAndTheOthersAreTaken) {
  fill(0, 5);
  ASSERT_TRUE(memory->store<u64>(physical(2) + 800, 1));
  program.table.erase(page(3) >> kPageShift);
  expect_given(give(0, 5), 3, 2, CLOISTER_NOT_VALUE);
  program.table.erase(page(0) >> kPageShift);
  expect_given(give(0, 5), 2, 0, CLOISTER_NOT_YOURS);
}

TEST_F(HypercallTest, PagesThatAreFilledHoldTheValueAndNoFrame) {
  ASSERT_TRUE(memory->store<u64>(physical(1) + 800, 1));
  expect_given(call(CLOISTER_CALL_BALLOON_FILL, {page(0), 512}), 512, 512, CLOISTER_OK);
  EXPECT_EQ(program.walks, 1);
  EXPECT_EQ(memory->usage().in(PageState::kBalloonValue), Pages{512});
  EXPECT_EQ(memory->host(), Bytes{0});
  expect_given(give(0, 512), 512, 512, CLOISTER_OK);
}

// What a program may not write is as it was, and it learns nothing by asking.
TEST_F(HypercallTest, OnlyTheCallersPagesAreFilled) {
  ASSERT_TRUE(memory->store<u64>(physical(2), 7));
  program.table.erase(page(2) >> kPageShift);
  program.table[page(3) >> kPageShift] = {0x1000'0000 >> kPageShift};  // a device
  expect_given(call(CLOISTER_CALL_BALLOON_FILL, {page(0), 5}), 3, 2, CLOISTER_NOT_YOURS);
  EXPECT_EQ(memory->load<u64>(physical(2)), 7u);
  EXPECT_EQ(memory->state(gpn_of(physical(4))), PageState::kBalloonValue);
}

TEST_F(HypercallTest, WhatIsNoMemoryIsNotTheCallers) {
  program.table[page(0) >> kPageShift] = {0x1000'0000 >> kPageShift};  // a device
  program.table[page(1) >> kPageShift] = {~u64{0} >> kPageShift};
  expect_given(give(0, 2), 0, 0, CLOISTER_NOT_YOURS);
  EXPECT_EQ(call(CLOISTER_CALL_CONDITION_PAGE, {page(0)}).status, u64{CLOISTER_NOT_YOURS});
  EXPECT_EQ(call(CLOISTER_CALL_CONDITION, {page(0), 4096}).status, u64{CLOISTER_NOT_YOURS});
}

TEST_F(HypercallTest, APageThatADeviceUsesIsBusy) {
  fill(0, 1);
  memory->with_pinned(physical(0), {8}, memory::Access::kRead, [&](auto) {
    expect_given(give(0, 1), 0, 0, CLOISTER_BUSY);
    EXPECT_EQ(call(CLOISTER_CALL_CONDITION_PAGE, {page(0)}).status, u64{CLOISTER_BUSY});
    return true;
  });
}

TEST_F(HypercallTest, BadArgumentsOfAGiftAreRefusedBeforeAnyWalk) {
  const u64 last = ~u64{0} & ~kPageMask;
  for (const auto& [first, count] : std::vector<std::pair<u64, u64>>{
           {kVirtual + 1, 1}, {kVirtual, 0}, {kVirtual, 513}, {kVirtual, ~u64{0}}, {last, 1}, {last, 512}}) {
    for (const u64 function : {CLOISTER_CALL_BALLOON_GIVE, CLOISTER_CALL_BALLOON_FILL}) {
      const auto reply = call(function, {first, count});
      EXPECT_EQ(reply.status, u64{CLOISTER_BAD_ARGUMENT}) << first << ' ' << count;
      EXPECT_EQ(reply.count, 0u);
    }
  }
  EXPECT_EQ(program.walks, 0);
}

TEST_F(HypercallTest, TheConditionIsWrittenWhereItIsAskedFor) {
  tell(0);
  const auto reply = call(CLOISTER_CALL_CONDITION, {page(1) + 256, 4096});
  EXPECT_EQ(reply.status, u64{CLOISTER_OK});
  EXPECT_EQ(reply.results[0], sizeof(cloister_condition));
  EXPECT_EQ(record_at(physical(1) + 256).level, u32{CLOISTER_HARD});
}

TEST_F(HypercallTest, ARecordMayLieAcrossTwoPagesWhereverTheyAre) {
  tell(0);
  program.table[page(2) >> kPageShift] = {kBase.page() + 700};
  const u64 head = 40;
  ASSERT_EQ(call(CLOISTER_CALL_CONDITION, {page(2) - head, sizeof(cloister_condition)}).status,
            u64{CLOISTER_OK});
  cloister_condition record{};
  auto bytes = std::as_writable_bytes(std::span(&record, 1));
  ASSERT_TRUE(memory->read(physical(2) - head, bytes.first(head)));
  ASSERT_TRUE(memory->read(physical(700), bytes.subspan(head)));
  EXPECT_EQ(record.level, u32{CLOISTER_HARD});
  program.table.erase(page(2) >> kPageShift);
  EXPECT_EQ(call(CLOISTER_CALL_CONDITION, {page(2) - head, 4096}).status, u64{CLOISTER_NOT_YOURS});
}

TEST_F(HypercallTest, BadArgumentsOfAConditionAreRefused) {
  for (const auto& [address, size] : std::vector<std::pair<u64, u64>>{
           {page(0) + 4, 4096}, {page(0), sizeof(cloister_condition) - 1}, {page(0), 0}, {~u64{7}, 4096}}) {
    EXPECT_EQ(call(CLOISTER_CALL_CONDITION, {address, size}).status, u64{CLOISTER_BAD_ARGUMENT}) << size;
  }
  EXPECT_EQ(call(CLOISTER_CALL_CONDITION_PAGE, {page(0) + 8}).status, u64{CLOISTER_BAD_ARGUMENT});
}

TEST_F(HypercallTest, WhatIsToBeReleasedIsSharedAmongThoseWhoAsk) {
  tell(64 * kPageSize);
  const auto asked_by = [&](u64 space) {
    EXPECT_EQ(call(CLOISTER_CALL_CONDITION, {page(0), 4096}, space).status, u64{CLOISTER_OK});
    return record_at(physical(0)).release / kPageSize;
  };
  EXPECT_EQ(asked_by(1), 64u);
  EXPECT_EQ(asked_by(2), 32u);
  EXPECT_EQ(asked_by(1), 32u);
  for (u64 space = 0; space < 1000; ++space) EXPECT_GE(asked_by(space), 1u) << "however many there are";
}

TEST_F(HypercallTest, AConditionPageIsLive) {
  EXPECT_EQ(call(CLOISTER_CALL_CONDITION_PAGE, {page(9)}).status, u64{CLOISTER_OK});
  tell(5 * kPageSize);
  EXPECT_EQ(record_at(physical(9)).release, 5 * kPageSize);
}

TEST_F(HypercallTest, WhoMayWaitLearnsWhere) {
  EXPECT_EQ(call(CLOISTER_CALL_WAIT).status, u64{CLOISTER_OFF});
  hypercall.offer_wait(true);
  const auto reply = call(CLOISTER_CALL_WAIT);
  EXPECT_EQ(reply.status, u64{CLOISTER_OK});
  EXPECT_EQ(reply.results[0], 2u);
  EXPECT_EQ(reply.results[1], u64{CLOISTER_PORT_CONDITION});
  EXPECT_EQ(call(CLOISTER_CALL_DISCOVER).results[1], kAll | CLOISTER_FEATURE_WAIT);
  hypercall.offer_wait(false);
  EXPECT_EQ(call(CLOISTER_CALL_WAIT).status, u64{CLOISTER_OFF});
}

}  // namespace
}  // namespace cloister::machine
