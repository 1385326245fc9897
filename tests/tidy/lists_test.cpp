// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <regex>

#include "tidy/source_tree.h"

namespace cloister::tidy {
namespace {

bool names_a_source(const std::string& word) {
  return word.ends_with(".cpp") || word.ends_with(".c") || word.ends_with(".S");
}

// The words of a build list's line, without its comment.
std::vector<std::string> words_of(std::string line) {
  static const std::regex kWord(R"([^\s()]+|[()])");
  line = line.substr(0, line.find('#'));
  return {std::sregex_token_iterator(line.begin(), line.end(), kWord), {}};
}

// A list is a run of source names; any other word begins a new one.
void check_order(const SourceFile& file) {
  std::string previous;
  for (std::size_t i = 0; i < file.lines.size(); ++i) {
    for (const std::string& word : words_of(file.lines[i])) {
      const bool is_source = names_a_source(word);
      if (is_source && word < previous)
        report(file, i + 1, word + " stands after " + previous + ": sort the list");
      previous = is_source ? word : "";
    }
  }
}

TEST(Lists, OfSourcesAreAlphabetical) {
  for (const SourceFile& file : source_files()) {
    if (file.ends_in("CMakeLists.txt")) check_order(file);
  }
}

// A test that nobody builds tests nothing.
TEST(Lists, NameEverySourceOfTheirFolder) {
  for (const SourceFile& file : source_files()) {
    if (!file.is_under("src") || !file.ends_in(".cpp")) continue;
    const std::string name = std::filesystem::path(file.path).filename().string();
    bool named = false;
    for (const SourceFile& list : source_files()) {
      if (!list.ends_in("CMakeLists.txt") || !file.path.starts_with(list.folder())) continue;
      for (const std::string& line : list.lines) named = named || line.find(name) != std::string::npos;
    }
    if (!named) report(file, 0, "is in no CMakeLists.txt: add it to its folder's list");
  }
}

}  // namespace
}  // namespace cloister::tidy
