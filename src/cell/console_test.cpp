// SPDX-License-Identifier: Apache-2.0
#include "cell/console.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace cloister::cell {
namespace {

struct Typing {
  EscapeFilter filter;
  std::vector<Command> commands;

  std::string type(std::string_view keys) {
    const auto bytes = filter.pass(std::as_bytes(std::span(keys)), [&](Command c) { commands.push_back(c); });
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
};

TEST(EscapeFilter, LetsPlainTypingThrough) {
  Typing typing;
  EXPECT_EQ(typing.type("ls -l\n"), "ls -l\n");
  EXPECT_TRUE(typing.commands.empty());
}

TEST(EscapeFilter, TakesItsCommandsOut) {
  Typing typing;
  EXPECT_EQ(typing.type("a\001hb\001x"), "ab");
  EXPECT_EQ(typing.commands, (std::vector{Command::kHelp, Command::kQuit}));
}

TEST(EscapeFilter, RemembersTheEscapeBetweenReads) {
  Typing typing;
  EXPECT_EQ(typing.type("\001"), "");
  EXPECT_EQ(typing.type("x"), "");
  EXPECT_EQ(typing.commands, std::vector{Command::kQuit});
}

TEST(EscapeFilter, GivesTheGuestItsOwnControlA) {
  Typing typing;
  EXPECT_EQ(typing.type("\001\001"), "\001");
  EXPECT_EQ(typing.type("\001d"), "\001d");
}

}  // namespace
}  // namespace cloister::cell
