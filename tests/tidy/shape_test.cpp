// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "tidy/functions.h"
#include "tidy/source_tree.h"

namespace cloister::tidy {
namespace {

// Bounds: what a reader keeps in view. The aim is far below: a median of 8 lines, 30 at the 90th percentile.
constexpr std::size_t kLongestFunction = 70;
constexpr std::size_t kLongestSource = 600;
constexpr std::size_t kLongestHeader = 250;
constexpr std::size_t kLongestMain = 150;

void check_length(const SourceFile& file, std::size_t bound, std::string_view remedy) {
  if (file.lines.size() > bound)
    report(file, file.lines.size(),
           fmt::format("{} lines, and {} are allowed: {}", file.lines.size(), bound, remedy));
}

TEST(Shape, FilesFitTheirBounds) {
  for (const SourceFile& file : source_files()) {
    if (!file.is_code()) continue;
    if (file.is_header()) {
      check_length(file, kLongestHeader, "split the contract, or move bodies to the .cpp");
    } else {
      check_length(file, kLongestSource, "split it by what it does");
    }
    if (file.is_under("apps") && file.ends_in("/main.cpp"))
      check_length(file, kLongestMain, "a main reads as a table of contents: move code to src/");
  }
}

void print_lengths(std::string_view what, std::vector<std::size_t> lengths) {
  if (lengths.empty()) return;
  std::sort(lengths.begin(), lengths.end());
  const auto at = [&](std::size_t percent) { return lengths[(lengths.size() - 1) * percent / 100]; };
  fmt::print("{}: {} functions, median {} lines, 90th percentile {}, longest {}\n", what, lengths.size(),
             at(50), at(90), lengths.back());
}

TEST(Shape, FunctionsFitTheirBound) {
  std::vector<std::size_t> in_code, in_tests;
  for (const SourceFile& file : source_files()) {
    if (!file.is_code()) continue;
    const bool is_test = file.is_under("tests") || file.ends_in("_test.cpp");
    for (const Function& function : find_functions(file.lines)) {
      (is_test ? in_tests : in_code).push_back(function.length);
      if (function.length > kLongestFunction)
        report(file, function.line,
               fmt::format("{} has {} lines, and {} are allowed: name its steps and make them functions",
                           function.header, function.length, kLongestFunction));
    }
  }
  print_lengths("code", in_code);
  print_lengths("tests", in_tests);
}

bool has_clang_format() { return std::system("command -v clang-format >/dev/null 2>&1") == 0; }

TEST(Shape, EveryFileIsFormatted) {
  if (!has_clang_format()) GTEST_SKIP() << "clang-format is not installed: formatting was not checked";
  std::string command =
      fmt::format("cd '{}' && clang-format --dry-run -Werror --ferror-limit=1", root().string());
  for (const SourceFile& file : source_files()) {
    if (file.is_code()) command += fmt::format(" '{}'", file.path);
  }
  EXPECT_EQ(std::system(command.c_str()), 0) << "run clang-format -i on the files named above";
}

}  // namespace
}  // namespace cloister::tidy
