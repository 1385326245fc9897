// SPDX-License-Identifier: Apache-2.0
// Programs that are asked over a socket: what is asked, how answers are read, and what is told of those that
// cannot be.
#include <gtest/gtest.h>

#include <fstream>

#include "agent/bridge.h"
#include "agent/program.h"
#include "agent/testing_servers.h"

namespace cloister::agent {
namespace {

using testing_servers::Answer;
using testing_servers::ask;
using testing_servers::kMiB;
using testing_servers::Memcached;
using testing_servers::Redis;
using testing_servers::turn;

class ServersTest : public testing_servers::FolderTest {
 protected:
  // The settings of one program, as its section of a configuration says.
  BridgeSettings configured(const std::string& section) {
    Options options;
    BridgeSettings settings;
    std::string why;
    const std::string text = "[" + section + "]\naddress = " + place() + "\nfloor = 100MiB\n";
    EXPECT_TRUE(read_config(text, "agent.conf", options, settings, why)) << why;
    settings.spread = 1;
    return settings;
  }
  std::unique_ptr<Program> program(const std::string& section) {
    return make_program(loop_, configured(section).programs.at(0));
  }
  std::string place() const { return folder_ + "/server"; }

  // All of the way: the bridge hears that memory is wanted, and the program has to make room.
  template <typename Until>
  void shrink(const BridgeSettings& settings, Until until) {
    Bridge bridge(loop_, settings, folder_);
    ASSERT_EQ(bridge.start(), "");
    cloister_condition condition = {};
    condition.level = CLOISTER_CRITICAL;
    condition.release = condition.gap = std::uint64_t{1} << 40;
    condition.swap_in_rate = 64 * kMiB;  // so much that programs are asked at once
    while (!until()) {
      bridge.take(condition);
      for (int i = 0; i < 20; ++i) loop_.turn(1);
    }
  }
};

TEST_F(ServersTest, MemcachedTellsWhatItUsesAndMayUse) {
  Memcached server(loop_, place());
  server.used = 123'456'789;
  const Answer answer = ask(loop_, *program("memcached pages"));
  ASSERT_TRUE(answer.figures) << answer.why;
  EXPECT_EQ(answer.figures->used, 123'456'789u);
  EXPECT_EQ(answer.figures->limit, 400 * kMiB);
  EXPECT_TRUE(answer.figures->can_shrink);
  EXPECT_EQ(server.asked, "stats\r\n");
}

TEST_F(ServersTest, MemcachedIsTurnedByWholeMebibytesAndKeepsEight) {
  Memcached server(loop_, place());
  const auto memcached = program("memcached pages");
  EXPECT_EQ(turn(loop_, *memcached, 150 * kMiB + 5), "");
  EXPECT_EQ(turn(loop_, *memcached, 3 * kMiB), "");
  EXPECT_EQ(server.asked, "cache_memlimit 150\r\ncache_memlimit 8\r\n");
}

TEST_F(ServersTest, WhatMemcachedRefusesIsTold) {
  Memcached server(loop_, place());
  const auto memcached = program("memcached pages");
  for (const std::string why : {"ERROR", "CLIENT_ERROR unauthenticated", "SERVER_ERROR out of memory"}) {
    server.refusal = why + "\r\n";
    const Answer answer = ask(loop_, *memcached);
    EXPECT_FALSE(answer.figures);
    EXPECT_EQ(answer.why, why);
    EXPECT_EQ(turn(loop_, *memcached, 100 * kMiB), why);
  }
  server.refusal = "STAT pid 77\r\nEND\r\n";
  EXPECT_NE(ask(loop_, *memcached).why.find("neither bytes nor limit_maxbytes"), std::string::npos);
}

TEST_F(ServersTest, AServerThatIsNotThereIsTold) {
  EXPECT_NE(ask(loop_, *program("memcached pages")).why, "");
  EXPECT_NE(turn(loop_, *program("redis cache"), kMiB), "");
}

TEST_F(ServersTest, MemcachedShrinksToItsFloorWhenMemoryIsWanted) {
  Memcached server(loop_, place());
  shrink(configured("memcached pages"), [&] { return server.limit != 400 * kMiB; });
  EXPECT_EQ(server.limit, 100 * kMiB);
  EXPECT_EQ(server.used, 100 * kMiB);
}

// What a program was given is what it has when it is calm again: a cut that it rounds must not be taken for
// another's.
TEST_F(ServersTest, ACutThatMemcachedRoundsIsStillOurs) {
  Memcached server(loop_, place());
  BridgeSettings settings = configured("memcached pages");
  settings.programs[0].floor = 100 * kMiB + 5;
  int rounds = 0;
  shrink(settings, [&] { return server.limit != 400 * kMiB && ++rounds > 3; });
  EXPECT_EQ(server.limit, 100 * kMiB);
  std::ifstream notes(folder_ + "/ceilings");
  std::string line;
  std::getline(notes, line);
  EXPECT_EQ(line, "memcached pages\t104857600\t419430400");
}

TEST_F(ServersTest, AGroupKeepsWholePages) {
  ProgramSettings group;
  group.kind = ProgramKind::kGroup;
  EXPECT_EQ(make_program(loop_, group)->kept(12'345'678), 12'345'344u);
  EXPECT_EQ(make_program(loop_, group)->kept(0), 0u);
}

// Valkey names itself besides, and says what Redis says.
TEST_F(ServersTest, ValkeyShrinksAsRedisDoes) {
  Redis server(loop_, place());
  server.server = "redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.1.1\r\n";
  const auto valkey = program("valkey cache");
  const Answer answer = ask(loop_, *valkey);
  ASSERT_TRUE(answer.figures) << answer.why;
  EXPECT_EQ(answer.figures->used, 300 * kMiB);
  EXPECT_EQ(answer.figures->resident, 320 * kMiB);
  EXPECT_TRUE(answer.figures->can_shrink);
  EXPECT_EQ(turn(loop_, *valkey, 200 * kMiB), "");
  EXPECT_EQ(server.limit, 200 * kMiB);
  ask(loop_, *valkey);
  EXPECT_EQ(server.purges, 1);
  EXPECT_EQ(server.resident, 200 * kMiB);
  shrink(configured("valkey cache"), [&] { return server.limit < 200 * kMiB; });
  EXPECT_EQ(server.limit, 100 * kMiB);
}

}  // namespace
}  // namespace cloister::agent
