// SPDX-License-Identifier: Apache-2.0
#include <toml++/toml.h>

#include <string>

#include "base/os/file.h"
#include "cell/options.h"

namespace cloister::cell {
namespace {

// Bound: a config is a page of text; a larger file is some other file.
constexpr u64 kMaxConfigBytes = kMiB;

Error at(const toml::source_region& source, std::string_view origin, std::string_view message) {
  return error("{}:{}:{}: {}", origin, source.begin.line, source.begin.column, message);
}

const Option* find(std::string_view name) {
  for (const Option& option : options()) {
    if (name == option.name) return &option;
  }
  return nullptr;
}

std::string known_names() {
  std::string names;
  for (const Option& option : options()) names += fmt::format("{}{}", names.empty() ? "" : ", ", option.name);
  return names;
}

Result<void> set_one(const Option& option, const toml::node& node, std::string_view origin,
                     machine::MachineConfig& config) {
  std::string text;
  if (const auto* word = node.as_string()) {
    text = word->get();
  } else if (const auto* number = node.as_integer()) {
    text = fmt::format("{}", number->get());
  } else {
    return at(node.source(), origin, fmt::format("{} takes a string or a whole number", option.name));
  }
  const Result<void> result = option.set(config, text);
  if (!result.ok()) return at(node.source(), origin, result.failure().message);
  return {};
}

Result<void> set_key(const Option& option, const toml::node& node, std::string_view origin,
                     machine::MachineConfig& config) {
  const toml::array* list = node.as_array();
  if (list == nullptr) return set_one(option, node, origin, config);
  if (!option.repeats)
    return at(node.source(), origin, fmt::format("{} takes one value, not a list", option.name));
  for (const toml::node& entry : *list) TRY(set_one(option, entry, origin, config));
  return {};
}

}  // namespace

Result<void> read_config(std::string_view text, std::string_view origin, machine::MachineConfig& config) try {
  const toml::table table = toml::parse(text);
  for (const auto& [key, node] : table) {
    const Option* option = find(key.str());
    if (option == nullptr) {
      return at(key.source(), origin,
                fmt::format("unknown key '{}'; known are {}", key.str(), known_names()));
    }
    TRY(set_key(*option, node, origin, config));
  }
  return {};
} catch (const toml::parse_error& failure) {
  return at(failure.source(), origin, failure.description());
}

Result<void> read_config_file(const std::string& path, machine::MachineConfig& config) {
  const std::string text = TRY(os::read_text_file(path, Bytes{kMaxConfigBytes}));
  return read_config(text, path, config);
}

}  // namespace cloister::cell
