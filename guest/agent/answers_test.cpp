// SPDX-License-Identifier: Apache-2.0
#include "agent/answers.h"

#include <gtest/gtest.h>

namespace cloister::agent {
namespace {

TEST(RedisProtocol, WritesRequestsOfWords) {
  EXPECT_EQ(redis_request({"INFO", "memory"}), "*2\r\n$4\r\nINFO\r\n$6\r\nmemory\r\n");
}

TEST(RedisProtocol, ReadsAnswersOfAllKinds) {
  const auto answers =
      redis_answers("+OK\r\n-ERR no\r\n:42\r\n$3\r\na\r\n\r\n$-1\r\n*2\r\n$1\r\nx\r\n:1\r\n", 6);
  ASSERT_TRUE(answers);
  EXPECT_EQ((*answers)[0].text, "OK");
  EXPECT_TRUE((*answers)[1].is_error);
  EXPECT_EQ((*answers)[2].text, "42");
  EXPECT_EQ((*answers)[3].text, "a\r\n");
  EXPECT_EQ((*answers)[4].text, "");
  EXPECT_EQ((*answers)[5].text, "x\n1\n");
}

TEST(RedisProtocol, WaitsForTheWholeAnswer) {
  const std::string whole = "*2\r\n$3\r\nabc\r\n:1\r\n";
  for (std::size_t length = 0; length < whole.size(); ++length)
    EXPECT_FALSE(redis_answers(whole.substr(0, length), 1)) << length;
  EXPECT_TRUE(redis_answers(whole, 1));
  EXPECT_FALSE(redis_answers(whole, 2));
}

TEST(RedisProtocol, NonsenseIsAnErrorAndNeverAWait) {
  for (const char* bytes : {"HTTP/1.1 400\r\n", "$99999999999\r\n", "$x\r\n", "*-5\r\n", "\r\n",
                            "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n"}) {
    const auto answers = redis_answers(bytes, 1);
    ASSERT_TRUE(answers) << bytes;
    EXPECT_TRUE((*answers)[0].is_error) << bytes;
  }
}

TEST(Figures, OfServers) {
  const char* info =
      "# Memory\r\nused_memory:1024\r\nused_memory_rss:9\r\nmaxmemory:0\r\nmaxmemory_policy:allkeys-lru\r\n";
  EXPECT_EQ(info_value(info, "used_memory"), "1024");
  EXPECT_EQ(info_value(info, "maxmemory_policy"), "allkeys-lru");
  EXPECT_FALSE(info_value(info, "memory"));
  EXPECT_EQ(stat_value("STAT bytes 77\r\nSTAT limit_maxbytes 100\r\nEND\r\n", "limit_maxbytes"), 100u);
  EXPECT_FALSE(stat_value("STAT bytes x\r\n", "bytes"));
}

// Each collector in its own words, as JDK 17 to 25 say them.
TEST(Figures, OfJavaHeaps) {
  EXPECT_EQ(heap_size_in(" garbage-first heap   total 264192K, used 1536K [0x1, 0x2)\n  region size 1024K\n"),
            264192u << 10);
  EXPECT_EQ(heap_size_in(" ZHeap           used 8M, capacity 256M, max capacity 4096M\n"), 256u << 20);
  EXPECT_EQ(heap_size_in("Shenandoah Heap\n 4096M max, 4096M soft max, 256M committed, 12M used\n"),
            256u << 20);
  EXPECT_EQ(
      heap_size_in(
          " def new generation   total 78656K, used 2797K\n tenured generation   total 174784K, used 0K\n"),
      (78656u + 174784u) << 10);
  EXPECT_FALSE(heap_size_in("nothing of the kind"));
  EXPECT_EQ(flag_value("-XX:MaxHeapSize=4294967296\n"), std::uint64_t{1} << 32);
  EXPECT_FALSE(flag_value("Unknown flag"));
}

}  // namespace
}  // namespace cloister::agent
