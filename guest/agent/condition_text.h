// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cloister/guest_abi.h>

#include <optional>
#include <string>
#include <string_view>

namespace cloister::agent {

// "ample", "soft", "hard", "critical"; a level that is not known reads as critical: the numbers only rise.
const char* level_word(std::uint32_t level);
std::optional<std::uint32_t> level_of(std::string_view word);

// The whole condition as one line of JSON, with its line feed.
std::string json_of(const cloister_condition& condition);

}  // namespace cloister::agent
