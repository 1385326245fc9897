// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "isa/cases.h"
#include "isa/table.h"

namespace cloister::isa_tests {
namespace {

template <typename Rows>
void add_ops(std::set<Op>& ops, const Rows& rows) {
  for (const auto& row : rows) ops.insert(row.op);
}

std::set<Op> tested_ops() {
  std::set<Op> ops;
  add_ops(ops, integer_cases());
  add_ops(ops, single_cases());
  add_ops(ops, double_cases());
  add_ops(ops, load_cases());
  add_ops(ops, store_cases());
  add_ops(ops, amo_cases());
  for (const auto list : {branch_ops(), csr_ops(), memory_ops(), paging_ops(), system_ops()})
    ops.insert(list.begin(), list.end());
  return ops;
}

TEST(Coverage, EveryRowOfTheTableHasItsTest) {
  const std::set<Op> ops = tested_ops();
  std::set<std::string> compressed;
  for (const char* row : compressed_rows()) compressed.insert(row);
  for (const isa::Row& row : isa::rows()) {
    const bool tested = row.length == 4 ? ops.contains(row.op) : compressed.contains(row.name);
    EXPECT_TRUE(tested) << row.name << " has no test: give it rows in tests/isa";
  }
}

}  // namespace
}  // namespace cloister::isa_tests
