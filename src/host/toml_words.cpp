// SPDX-License-Identifier: Apache-2.0
#include "host/toml_words.h"

#include <toml++/toml.h>

#include "base/units.h"

namespace cloister::host {
namespace {

std::string place_of(const toml::source_region& source, std::string_view origin) {
  return fmt::format("{}:{}:{}", origin, source.begin.line, source.begin.column);
}

Result<void> add(const toml::node& node, std::string_view key, std::string_view origin,
                 std::vector<TomlWord>& words) {
  TomlWord word{std::string(key), {}, place_of(node.source(), origin)};
  if (const auto* text = node.as_string()) {
    word.text = text->get();
  } else if (const auto* number = node.as_integer()) {
    word.text = fmt::format("{}", number->get());
  } else if (const auto* part = node.as_floating_point()) {
    word.text = fmt::format("{}", part->get());
  } else if (const auto* yes = node.as_boolean()) {
    word.text = yes->get() ? "on" : "off";
  } else {
    return error("{}: {} takes a string or a number", word.place, key);
  }
  words.push_back(std::move(word));
  return {};
}

}  // namespace

Result<std::vector<TomlWord>> read_toml_words(std::string_view text, std::string_view origin) try {
  std::vector<TomlWord> words;
  const toml::table table = toml::parse(text);
  for (const auto& [key, node] : table) {
    const toml::array* list = node.as_array();
    if (list == nullptr) {
      TRY(add(node, key.str(), origin, words));
      continue;
    }
    for (const toml::node& entry : *list) TRY(add(entry, key.str(), origin, words));
  }
  return words;
} catch (const toml::parse_error& failure) {
  return error("{}: {}", place_of(failure.source(), origin), failure.description());
}

}  // namespace cloister::host
