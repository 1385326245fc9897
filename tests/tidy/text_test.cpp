// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <regex>
#include <set>

#include "tidy/functions.h"
#include "tidy/source_tree.h"

namespace cloister::tidy {
namespace {

bool needs_licence(const SourceFile& file) {
  return !file.ends_in(".md") && !file.ends_in(".toml") && !file.ends_in(".html");
}

// On the first line, or on the second below "#!".
TEST(Text, EverySourceFileNamesItsLicence) {
  for (const SourceFile& file : source_files()) {
    if (!needs_licence(file)) continue;
    const std::size_t at = !file.lines.empty() && file.lines[0].starts_with("#!") ? 1 : 0;
    if (file.lines.size() <= at ||
        file.lines[at].find("SPDX-License-Identifier: Apache-2.0") == std::string::npos)
      report(file, at + 1, "put a comment with SPDX-License-Identifier: Apache-2.0 on top");
  }
}

TEST(Text, EveryHeaderIsIncludedOnce) {
  for (const SourceFile& file : source_files()) {
    if (!file.is_header()) continue;
    if (std::find(file.lines.begin(), file.lines.end(), "#pragma once") == file.lines.end())
      report(file, 2, "put #pragma once under the licence");
  }
}

// Put together from halves, as this file is searched too.
const std::regex& unfinished_word() {
  static const std::regex kWord(std::string(R"(\b(TO)") + "DO|FIX" + "ME|XX" + R"(X)\b)");
  return kWord;
}

TEST(Text, NothingIsLeftForLater) {
  for (const SourceFile& file : source_files()) {
    for (std::size_t i = 0; i < file.lines.size(); ++i) {
      if (std::regex_search(file.lines[i], unfinished_word()))
        report(file, i + 1, "do it now, or open an issue and say here how things are");
    }
  }
}

TEST(Text, TypesAreNamedForWhatTheyAre) {
  const std::regex kVague(
      R"(\b(class|struct|union|enum|using)\s+\w*(Manager|Helper|Utils?|Utility)(?![a-z])\w*)");
  for (const SourceFile& file : source_files()) {
    if (!file.is_code() && !file.ends_in(".inc")) continue;
    for (std::size_t i = 0; i < file.lines.size(); ++i) {
      if (std::regex_search(file.lines[i], kVague))
        report(file, i + 1, "name the type for what it is or does: no manager, helper or utility");
    }
  }
}

// A policy decides the same on every host: floating point would make that a matter of compilers.
TEST(Text, PoliciesDecideInWholeNumbers) {
  static const std::regex kFloat(R"(\b(float|double)\b)");
  for (const SourceFile& file : source_files()) {
    if (!file.is_under("src/policy") || !file.is_code() || file.ends_in("_test.cpp")) continue;
    const std::vector<std::string> code = without_comments_and_literals(file.lines);
    for (std::size_t i = 0; i < code.size(); ++i) {
      if (std::regex_search(code[i], kFloat))
        report(file, i + 1, "decides with floating point: multiply out, in whole numbers of 128 bits");
    }
  }
}

// -- Links of the documentation ----------------------------------------------------------------------

bool leads_outside(const std::string& target) {
  static const std::regex kScheme(R"(^[a-z][a-z0-9+.-]*:)");
  return std::regex_search(target, kScheme);
}

bool link_holds(const SourceFile& file, const std::string& target) {
  const std::filesystem::path base = target.starts_with('/') ? root() : root() / file.folder();
  const std::string relative = target.starts_with('/') ? target.substr(1) : target;
  return std::filesystem::exists(base / relative);
}

void check_links(const SourceFile& file, std::size_t line) {
  static const std::regex kLink(R"(\]\(([^)#\s]+)(#[^)]*)?\))");
  const std::string& text = file.lines[line];
  for (auto link = std::sregex_iterator(text.begin(), text.end(), kLink); link != std::sregex_iterator();
       ++link) {
    const std::string target = (*link)[1];
    if (!leads_outside(target) && !link_holds(file, target))
      report(file, line + 1,
             "links to " + target + ", which does not exist: correct the path or remove the link");
  }
}

TEST(Text, LinksOfTheDocumentationHold) {
  for (const SourceFile& file : source_files()) {
    if (!file.ends_in(".md")) continue;
    bool in_code = false;
    for (std::size_t i = 0; i < file.lines.size(); ++i) {
      if (file.lines[i].starts_with("```")) in_code = !in_code;
      if (!in_code) check_links(file, i);
    }
  }
}

}  // namespace
}  // namespace cloister::tidy
