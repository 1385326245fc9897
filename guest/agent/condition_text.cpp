// SPDX-License-Identifier: Apache-2.0
#include "agent/condition_text.h"

#include <algorithm>

namespace cloister::agent {
namespace {

constexpr const char* kWords[] = {"ample", "soft", "hard", "critical"};

}  // namespace

const char* level_word(std::uint32_t level) { return kWords[std::min(level, 3u)]; }

std::optional<std::uint32_t> level_of(std::string_view word) {
  for (std::uint32_t level = 0; level < 4; ++level) {
    if (word == kWords[level]) return level;
  }
  return std::nullopt;
}

std::string json_of(const cloister_condition& c) {
  const std::pair<const char*, std::uint64_t> numbers[] = {
      {"version", c.version},
      {"changes", c.changes},
      {"time", c.time},
      {"configured", c.configured},
      {"entitlement", c.entitlement},
      {"target", c.target},
      {"held", c.held},
      {"balloon", c.balloon},
      {"gap", c.gap},
      {"swapped", c.swapped},
      {"swap_in_rate", c.swap_in_rate},
      {"page_out_rate", c.page_out_rate},
      {"available", c.available},
      {"release", c.release},
      {"deadline", c.deadline},
  };
  std::string line = std::string("{\"level\":\"") + level_word(c.level) + "\"";
  for (const auto& [name, value] : numbers) line += std::string(",\"") + name + "\":" + std::to_string(value);
  return line + "}\n";
}

}  // namespace cloister::agent
