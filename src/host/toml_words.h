// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace cloister::host {

// One key of a flat TOML text with its value as text; one for each entry of an array.
struct TomlWord {
  std::string key;
  std::string text;
  std::string place;  // "vm.toml:3:1", for errors
};

// Refused, with line and column: what is no TOML, and values that are neither strings, whole numbers,
// booleans nor arrays of those.
Result<std::vector<TomlWord>> read_toml_words(std::string_view text, std::string_view origin);

}  // namespace cloister::host
