// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cloister::agent {

// What a caller asks of the agent, read from the bytes of its first record. Pure: nothing here trusts a
// count.

struct ExecRequest {
  std::vector<std::string> arguments;  // at least one
  std::vector<std::string> settings;   // NAME=VALUE
  std::string folder;
  bool terminal = false;
  std::uint32_t rows = 0;
  std::uint32_t columns = 0;
};

struct PutRequest {
  std::uint32_t mode = 0;
  std::string path;
};

// None: the record is not what it says to be.
std::optional<ExecRequest> read_exec(std::string_view record);
std::optional<PutRequest> read_put(std::string_view record);
std::optional<std::string> read_path(std::string_view record);

}  // namespace cloister::agent
