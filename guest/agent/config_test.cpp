// SPDX-License-Identifier: Apache-2.0
#include "agent/config.h"

#include <gtest/gtest.h>

namespace cloister::agent {
namespace {

class ConfigTest : public testing::Test {
 protected:
  bool read(const std::string& text) { return read_config(text, "agent.conf", options_, bridge_, why_); }
  Options options_;
  BridgeSettings bridge_;
  std::string why_;
};

TEST_F(ConfigTest, TakesAllThereIsToSay) {
  ASSERT_TRUE(read(R"(# what this machine does
[agent]
parts = balloon bridge
sessions=8

[balloon]
  most-percent = 50
[bridge]
folder = /run/x
repeat = 5s
spread = 100ms

[redis cache]
address = /run/redis.sock
password = a b = c
floor = 64MiB
[valkey cache]
address = 127.0.0.1:6379
user = agent
weight = 3
[memcached m]
address = [::1]:11211
ceiling = 1GiB
[jvm shop]
pid-file = /run/shop.pid
collect = yes
[cgroup batch]
path = /sys/fs/cgroup/batch
[hook log]
command = /usr/bin/logger -t memory
)")) << why_;
  EXPECT_TRUE(options_.balloon && options_.bridge && !options_.exec);
  EXPECT_EQ(options_.sessions, 8u);
  EXPECT_EQ(options_.most_percent, 50u);
  EXPECT_EQ(bridge_.folder, "/run/x");
  EXPECT_EQ(bridge_.repeat, 5000u);
  EXPECT_EQ(bridge_.spread, 100u);
  ASSERT_EQ(bridge_.programs.size(), 6u);
  EXPECT_EQ(bridge_.programs[0].name, "redis cache");
  EXPECT_EQ(bridge_.programs[0].place.path, "/run/redis.sock");
  EXPECT_EQ(bridge_.programs[0].password, "a b = c");
  EXPECT_EQ(bridge_.programs[0].floor, 64u << 20);
  EXPECT_EQ(bridge_.programs[1].kind, ProgramKind::kRedis);
  EXPECT_EQ(bridge_.programs[1].name, "valkey cache") << "another one, of the same kind";
  EXPECT_EQ(bridge_.programs[1].place.port, 6379);
  EXPECT_EQ(bridge_.programs[1].weight, 3u);
  EXPECT_EQ(bridge_.programs[2].place.host, "::1");
  EXPECT_EQ(bridge_.programs[2].ceiling, 1u << 30);
  EXPECT_TRUE(bridge_.programs[3].collect);
  EXPECT_EQ(bridge_.programs[5].command, (std::vector<std::string>{"/usr/bin/logger", "-t", "memory"}));
}

struct Mistake {
  const char* text;
  const char* place;
  const char* word;
};

TEST_F(ConfigTest, NamesTheLineAndTheMatterOfEachMistake) {
  const Mistake mistakes[] = {
      {"\n\nnonsense\n", "agent.conf:3: ", "key = value"},
      {"key = 1", "agent.conf:1: ", "before the first section"},
      {"[cellar]", "agent.conf:1: ", "no section [cellar]"},
      {"[redis]", "agent.conf:1: ", "wants a name"},
      {"[agent\n", "agent.conf:1: ", "ends with ]"},
      {"[agent]\nsessions = 0", "agent.conf:2: ", "from 1 to 1024"},
      {"[agent]\nparts = attic", "agent.conf:2: ", "no part attic"},
      {"[agent]\nsessions = 1\nsessions = 2", "agent.conf:3: ", "there twice"},
      {"[agent]\n[agent]", "agent.conf:2: ", "there twice"},
      {"[balloon]\nmost = 5", "agent.conf:2: ", "it has most-percent"},
      {"[balloon]\nmost-percent = 66", "agent.conf:2: ", "1 to 65"},
      {"[balloon]\nmost-percent = 0", "agent.conf:2: ", "the host takes no more"},
      {"[redis a]\nfloor = 1MiB\n[bridge]", "agent.conf:3: ", "without address"},
      {"[redis a]\nfloor = 1MiB\n", "agent.conf:2: ", "without address"},
      {"[redis a]\naddress = here", "agent.conf:2: ", "numeric address"},
      {"[redis a]\nfloor = 1 mile", "agent.conf:2: ", "a size like"},
      {"[bridge]\nrepeat = 5", "agent.conf:2: ", "a time like"},
      {"[jvm a]\npid-file = x\ncollect = maybe", "agent.conf:3: ", "yes or no"},
      {"[hook a]\ncommand = ls", "agent.conf:2: ", "full path"},
  };
  for (const Mistake& one : mistakes) {
    bridge_ = {};
    EXPECT_FALSE(read(one.text)) << one.text;
    EXPECT_TRUE(why_.starts_with(one.place)) << why_;
    EXPECT_NE(why_.find(one.word), std::string::npos) << why_;
  }
}

TEST(ConfigValues, AreReadWholeOrNotAtAll) {
  EXPECT_EQ(read_size("4096"), 4096u);
  EXPECT_EQ(read_size("2 GiB"), 2u << 30);
  EXPECT_FALSE(read_size("2GB") || read_size("-1") || read_size("") || read_size("MiB"));
  EXPECT_FALSE(read_size("99999999999999999999") || read_size("18446744073709551615KiB"));
  EXPECT_EQ(read_duration("2min"), 120'000u);
  EXPECT_FALSE(read_place(":80") || read_place("host") || read_place("1.2.3.4:0") ||
               read_place("1.2.3.4:70000"));
}

}  // namespace
}  // namespace cloister::agent
