// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/units.h"

namespace cloister::machine {

// Writes a flattened device tree front to back (libfdt's sequential writer). What does not fit is remembered
// and told by finish(), so that no call before it needs a look.
class FlatTree {
 public:
  // Bound: the blob is at most `limit` bytes.
  explicit FlatTree(Bytes limit);

  void begin(const std::string& node);
  void end();

  void flag(const char* name);
  void cells(const char* name, std::initializer_list<u32> values) {
    cells(name, std::span(values.begin(), values.size()));
  }
  void cells(const char* name, std::span<const u32> values);
  void wide(const char* name, std::initializer_list<u64> values);  // two cells each
  void text(const char* name, const std::string& value);
  void texts(const char* name, std::span<const std::string_view> values);
  void bytes(const char* name, std::span<const std::byte> value);

  // The tree. Refused: it grew over its limit.
  Result<std::vector<std::byte>> finish();

 private:
  void note(int status);

  std::vector<std::byte> blob_;
  int failure_ = 0;
};

}  // namespace cloister::machine
