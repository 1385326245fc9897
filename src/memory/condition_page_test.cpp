// SPDX-License-Identifier: Apache-2.0
#include "memory/condition_page.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace cloister::memory {
namespace {

// Every field from `changes` on has the same number, so that a torn record shows.
cloister_condition numbered(u64 number) {
  cloister_condition record{};
  for (u64* field = &record.changes; field <= &record.deadline; ++field) *field = number;
  return record;
}

TEST(ConditionPage, ARecordIsReadAsItWasWrittenAndTheRestIsZero) {
  const auto made = ConditionPage::create();
  ASSERT_TRUE(made.ok());
  ConditionPage page = ConditionPage::create().take();
  EXPECT_EQ(page.read().sequence, 0u);
  page.write(numbered(7));
  EXPECT_EQ(page.read().sequence, 2u);
  EXPECT_EQ(page.read().gap, 7u);
  for (std::size_t i = sizeof(cloister_condition); i < kPageSize; ++i)
    EXPECT_EQ(page.page()[i], std::byte{0});
}

TEST(ConditionPage, NobodySeesHalfARecord) {
  ConditionPage page = ConditionPage::create().take();
  std::atomic<bool> end{false};
  std::thread writer([&] {
    for (u64 number = 1; !end; ++number) page.write(numbered(number));
  });
  u64 last = 0;
  for (int i = 0; i < 20'000; ++i) {
    const cloister_condition record = page.read();
    ASSERT_EQ(record.changes, record.deadline);
    ASSERT_EQ(record.target, record.deadline);
    ASSERT_GE(record.deadline, last);
    last = record.deadline;
  }
  end = true;
  writer.join();
}

}  // namespace
}  // namespace cloister::memory
