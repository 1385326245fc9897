// SPDX-License-Identifier: Apache-2.0
#include "agent/bridge.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "agent/condition_text.h"
#include "agent/testing_servers.h"

namespace cloister::agent {
namespace {

using testing_servers::address_of;
using testing_servers::kMiB;
using testing_servers::Redis;

// A program of the guest that is connected to one of the bridge's sockets.
class Listener {
 public:
  explicit Listener(const std::string& path) : socket_(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const sockaddr_un at = address_of(path);
    EXPECT_EQ(connect(socket_, reinterpret_cast<const sockaddr*>(&at), sizeof at), 0) << path;
  }
  ~Listener() { close(socket_); }
  void say(const std::string& text) { EXPECT_GT(send(socket_, text.data(), text.size(), 0), 0); }
  const std::string& heard() {
    char bytes[4096];
    for (ssize_t got; (got = recv(socket_, bytes, sizeof bytes, MSG_DONTWAIT)) > 0;)
      text_.append(bytes, static_cast<std::size_t>(got));
    return text_;
  }

 private:
  int socket_;
  std::string text_;
};

class BridgeTest : public testing_servers::FolderTest {
 protected:
  BridgeTest() {
    settings_.spread = 1;
    settings_.repeat = 20;
  }

  template <typename Until>
  void turn_until(Until until) {
    while (!until()) loop_.turn(5);
  }
  // Long enough for anything that is due at once.
  void settle() {
    for (int i = 0; i < 20; ++i) loop_.turn(1);
  }

  static cloister_condition at(std::uint32_t level, std::uint64_t release) {
    cloister_condition condition = {};
    condition.level = level;
    condition.release = condition.gap = release;
    condition.swap_in_rate = 1024 * kMiB;  // so much that programs are asked at once
    condition.available = std::uint64_t{1} << 40;
    return condition;
  }

  ProgramSettings redis_cache() const {
    ProgramSettings one;
    one.kind = ProgramKind::kRedis;
    one.name = "redis cache";
    one.place.path = folder_ + "/redis";
    one.floor = 100 * kMiB;
    return one;
  }
  // As noted for whoever comes after.
  std::string ceilings() const {
    std::ostringstream text;
    text << std::ifstream(folder_ + "/ceilings").rdbuf();
    return text.str();
  }

  BridgeSettings settings_;
};

TEST_F(BridgeTest, TellsTheConditionAsLinesOfJson) {
  Bridge bridge(loop_, settings_, folder_);
  ASSERT_EQ(bridge.start(), "");
  bridge.take(at(CLOISTER_AMPLE, 0));
  Listener listener(folder_ + "/condition");
  turn_until([&] { return !listener.heard().empty(); });
  EXPECT_TRUE(listener.heard().starts_with("{\"level\":\"ample\",\"version\":0,"));
  bridge.take(at(CLOISTER_HARD, 5 * kMiB));
  turn_until([&] { return listener.heard().find("\"hard\"") != std::string::npos; });
  EXPECT_TRUE(listener.heard().ends_with("}\n"));
  EXPECT_NE(listener.heard().find("\"release\":5242880,"), std::string::npos);
}

TEST_F(BridgeTest, WakesThoseWhoWatchForPressure) {
  Bridge bridge(loop_, settings_, folder_);
  ASSERT_EQ(bridge.start(), "");
  Listener plain(folder_ + "/pressure"), kernel(folder_ + "/pressure"), strict(folder_ + "/pressure");
  kernel.say(std::string("some 150000 2000000\0", 20));
  strict.say("level critical\n");
  settle();
  bridge.take(at(CLOISTER_AMPLE, 0));
  settle();
  EXPECT_EQ(plain.heard() + kernel.heard() + strict.heard(), "");
  bridge.take(at(CLOISTER_SOFT, 0));
  turn_until([&] { return !plain.heard().empty() && !kernel.heard().empty(); });
  EXPECT_EQ(plain.heard(), "soft 0\n");
  EXPECT_EQ(strict.heard(), "");
  bridge.take(at(CLOISTER_CRITICAL, 7));
  turn_until([&] { return !strict.heard().empty(); });
  EXPECT_EQ(strict.heard(), "critical 7\n");
}

TEST_F(BridgeTest, RepeatsItselfOnlyWhileMemoryIsWanted) {
  Bridge bridge(loop_, settings_, folder_);
  ASSERT_EQ(bridge.start(), "");
  Listener listener(folder_ + "/pressure");
  settle();
  bridge.take(at(CLOISTER_SOFT, 0));
  turn_until([&] { return !listener.heard().empty(); });
  usleep(30'000);
  bridge.take(at(CLOISTER_SOFT, 0));
  settle();
  EXPECT_EQ(listener.heard(), "soft 0\n");
  bridge.take(at(CLOISTER_SOFT, 9));
  turn_until([&] { return listener.heard() == "soft 0\nsoft 9\n"; });
}

TEST_F(BridgeTest, ShrinksAProgramByItsKnobAndGivesBackWhatItHad) {
  Redis redis(loop_, folder_ + "/redis");
  settings_.programs = {redis_cache()};
  {
    Bridge bridge(loop_, settings_, folder_);
    ASSERT_EQ(bridge.start(), "");
    bridge.take(at(CLOISTER_CRITICAL, std::uint64_t{1} << 40));
    turn_until([&] { return redis.limit != 0; });
    EXPECT_EQ(redis.limit, 100 * kMiB);
    EXPECT_EQ(redis.used, 100 * kMiB);
    settle();
    for (int i = 0; i < 3; ++i) {
      bridge.take(at(CLOISTER_CRITICAL, std::uint64_t{1} << 40));
      settle();
    }
    EXPECT_EQ(redis.resident, redis.used);
    EXPECT_EQ(redis.purges, 1) << "once it has let go, it is left alone";
  }
  // Whoever comes after knows that this limit was not the owner's wish.
  EXPECT_EQ(ceilings(), "redis cache\t104857600\t0\n");
}

// As a JVM does that is busy with a collection.
TEST_F(BridgeTest, ALimitThatWasSetWithoutAnAnswerIsNotTheOwnersWish) {
  Redis redis(loop_, folder_ + "/redis");
  settings_.programs = {redis_cache()};
  Bridge bridge(loop_, settings_, folder_);
  ASSERT_EQ(bridge.start(), "");
  bridge.take(at(CLOISTER_AMPLE, 0));
  settle();
  redis.hangs_up = true;
  bridge.take(at(CLOISTER_CRITICAL, std::uint64_t{1} << 40));
  turn_until([&] { return redis.limit != 0; });
  settle();
  redis.hangs_up = false;
  bridge.take(at(CLOISTER_AMPLE, 0));
  settle();
  EXPECT_EQ(ceilings(), "redis cache\t104857600\t0\n");
}

TEST_F(BridgeTest, AProgramThatForgetsNothingIsLeftAlone) {
  Redis redis(loop_, folder_ + "/redis");
  redis.policy = "noeviction";
  settings_.programs = {redis_cache()};
  Bridge bridge(loop_, settings_, folder_);
  ASSERT_EQ(bridge.start(), "");
  bridge.take(at(CLOISTER_CRITICAL, std::uint64_t{1} << 40));
  settle();
  settle();
  EXPECT_EQ(redis.limit, 0u);
}

TEST_F(BridgeTest, LowersAGroupsLimit) {
  std::ofstream(folder_ + "/memory.current") << 400 * kMiB << "\n";
  std::ofstream(folder_ + "/memory.high") << "max\n";
  ProgramSettings one;
  one.kind = ProgramKind::kGroup;
  one.name = "cgroup batch";
  one.path = folder_;
  one.floor = 300 * kMiB;
  settings_.programs = {one};
  Bridge bridge(loop_, settings_, folder_);
  ASSERT_EQ(bridge.start(), "");
  bridge.take(at(CLOISTER_CRITICAL, std::uint64_t{1} << 40));
  std::uint64_t limit = 0;
  turn_until([&] { return static_cast<bool>(std::ifstream(folder_ + "/memory.high") >> limit); });
  EXPECT_EQ(limit, 300 * kMiB);
}

TEST_F(BridgeTest, RunsHooksWithTheConditionInTheirEnvironment) {
  const std::string script = folder_ + "/hook", out = folder_ + "/out";
  std::ofstream(script) << "#!/bin/sh\necho $CLOISTER_LEVEL $CLOISTER_RELEASE > " << out << ".new && mv "
                        << out << ".new " << out << "\n";
  std::filesystem::permissions(script, std::filesystem::perms::owner_all);
  ProgramSettings one;
  one.kind = ProgramKind::kHook;
  one.name = "hook note";
  one.command = {script};
  settings_.programs = {one};
  Bridge bridge(loop_, settings_, folder_);
  ASSERT_EQ(bridge.start(), "");
  bridge.take(at(CLOISTER_HARD, 77));
  turn_until([&] { return std::filesystem::exists(out); });
  std::string line;
  std::getline(*std::make_unique<std::ifstream>(out), line);
  EXPECT_EQ(line, "hard 77");
}

TEST_F(BridgeTest, TwoAgentsDoNotServeOnePlace) {
  Bridge first(loop_, settings_, folder_), second(loop_, settings_, folder_);
  ASSERT_EQ(first.start(), "");
  EXPECT_NE(second.start().find("another agent"), std::string::npos);
}

TEST(ConditionText, WordsAndLevelsAreOfOneMind) {
  for (std::uint32_t level = 0; level < 4; ++level) EXPECT_EQ(level_of(level_word(level)), level);
  EXPECT_STREQ(level_word(99), "critical");
  EXPECT_FALSE(level_of("mild"));
}

}  // namespace
}  // namespace cloister::agent
