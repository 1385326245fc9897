// SPDX-License-Identifier: Apache-2.0
#include "tidy/functions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

namespace cloister::tidy {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<std::string> lines_of(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

// "line:length" of each function.
std::vector<std::string> places(const std::string& text) {
  std::vector<std::string> result;
  for (const Function& function : find_functions(lines_of(text)))
    result.push_back(std::to_string(function.line) + ":" + std::to_string(function.length));
  return result;
}

TEST(FindFunctions, CountsFromTheHeaderToTheBrace) {
  EXPECT_THAT(places("int f() { return 1; }"), ElementsAre("1:1"));
  EXPECT_THAT(places("int f() {\n  return 1;\n}\n\nvoid g(int a,\n       int b) {\n}"),
              ElementsAre("1:3", "5:3"));
}

TEST(FindFunctions, LooksIntoNamespacesAndClasses) {
  EXPECT_THAT(
      places("namespace a {\nclass B final : C<int()> {\n public:\n  int f() const { return 1; }\n};\n}"),
      ElementsAre("4:1"));
  EXPECT_THAT(places("template <class T>\nclass B {\n  template <typename U>\n  void f(U u) {\n  }\n};"),
              ElementsAre("3:3"));
  EXPECT_THAT(places("extern \"C\" {\nint f(void) { return 0; }\n}"), ElementsAre("2:1"));
  EXPECT_THAT(places("class TSA(lockable) M {\n  void l() TSA(acquire()) {\n  }\n};"), ElementsAre("2:2"));
}

TEST(FindFunctions, PassesOverWhatOnlyLooksLikeOne) {
  EXPECT_THAT(
      places("constexpr int kTable[] = {\n  f(1),\n  g(2)};\nenum class E : u8 { kA, kB };\nint a{1};"),
      IsEmpty());
  EXPECT_THAT(places("// int f() {\n/* int g() {\n} */\nconst char* s = \"h() {\";\nchar c = '{';"),
              IsEmpty());
  EXPECT_THAT(places("#define M(x) \\\n  int x() {   \\\n  }\nint y;"), IsEmpty());
  EXPECT_THAT(places("const char* s = R\"(int f() {\n)\";"), IsEmpty());
}

TEST(FindFunctions, PassesOverTablesOfStructs) {
  EXPECT_THAT(places("static const struct option kOptions[] = {\n    {\"a\", 1},\n    {\"b\", f(2)},\n};"),
              IsEmpty());
  EXPECT_THAT(places("const Case kCases[] = {\n    {1, [](int a) {\n       f(a);\n     }},\n};"),
              ElementsAre("2:3"));
}

TEST(FindFunctions, KeepsControlFlowAndLambdasInTheirFunction) {
  EXPECT_THAT(places("void f() {\n  if (a) {\n  }\n  auto g = [](int x) {\n    return x;\n  };\n}"),
              ElementsAre("1:7"));
}

TEST(FindFunctions, KnowsMemberInitializers) {
  EXPECT_THAT(places("A::A(int x)\n    : a_{x}, b_(x) {\n  f();\n}"), ElementsAre("1:4"));
  EXPECT_THAT(places("A::A(int x)\n    : a_(x), b_{x, {1, 2}} {\n}"), ElementsAre("1:3"));
  EXPECT_THAT(places("A::A() : b_(1) {}"), ElementsAre("1:1"));
}

TEST(FindFunctions, KnowsTrailingTypesAndDigitSeparators) {
  EXPECT_THAT(places("auto f(int a) -> std::vector<int> {\n  return {1'000};\n}"), ElementsAre("1:3"));
}

}  // namespace
}  // namespace cloister::tidy
