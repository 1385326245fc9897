// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <sstream>
#include <string>

#include "agent/loop.h"
#include "agent/program.h"

// Servers as far as the bridge speaks to them, in the thread of the loop that speaks.
namespace cloister::agent::testing_servers {

inline constexpr std::uint64_t kMiB = 1 << 20;

inline sockaddr_un address_of(const std::string& path) {
  sockaddr_un at = {};
  at.sun_family = AF_UNIX;
  std::strncpy(at.sun_path, path.c_str(), sizeof at.sun_path - 1);
  return at;
}

// Listens at a path, and answers each piece that comes as `answer` says. Answers go in two pieces, one after
// the other: whoever reads them must wait for the whole.
class Server {
 public:
  Server(Loop& loop, const std::string& path)
      : loop_(loop), listener_(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0)) {
    const sockaddr_un at = address_of(path);
    EXPECT_EQ(bind(listener_, reinterpret_cast<const sockaddr*>(&at), sizeof at), 0) << path;
    EXPECT_EQ(listen(listener_, 4), 0);
    loop_.watch(listener_, 1, [this](std::uint32_t) {
      const int client = accept(listener_, nullptr, nullptr);
      loop_.watch(client, 1, [this, client](std::uint32_t) { serve(client); });
      clients_[client] = 0;
    });
  }
  virtual ~Server() {
    while (!clients_.empty()) leave(clients_.begin()->first);
    loop_.forget(listener_);
    close(listener_);
  }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

 protected:
  virtual std::string answer(const std::string& request) = 0;
  // Whether the connection ends with each answer.
  virtual bool ends() const { return false; }

 private:
  void serve(int client) {
    char bytes[4096];
    const ssize_t got = recv(client, bytes, sizeof bytes, MSG_DONTWAIT);
    if (got <= 0) return leave(client);
    const std::string all = answer(std::string(bytes, static_cast<std::size_t>(got)));
    const std::size_t half = all.size() / 2;
    put(client, all.substr(0, half));
    clients_[client] = loop_.after(2, [this, client, rest = all.substr(half)] {
      put(client, rest);
      if (ends()) leave(client);
    });
  }
  // One that has left meanwhile hears nothing.
  static void put(int client, const std::string& text) {
    [[maybe_unused]] const ssize_t done = send(client, text.data(), text.size(), MSG_NOSIGNAL);
  }
  void leave(int client) {
    loop_.cancel(clients_[client]);
    clients_.erase(client);
    loop_.forget(client);
    close(client);
  }

  Loop& loop_;
  int listener_;
  std::map<int, Loop::Timer> clients_;
};

// A Redis: it forgets at once what is above its limit, and its allocator keeps that until it is told to
// purge.
class Redis : public Server {
 public:
  using Server::Server;
  std::uint64_t used = 300 * kMiB;
  std::uint64_t resident = 320 * kMiB;
  std::uint64_t limit = 0;
  std::string policy = "allkeys-lru";
  std::string server = "redis_version:7.0.15\r\n";  // how it names itself
  int purges = 0;
  bool hangs_up = false;  // when its limit was set

 protected:
  bool ends() const override { return hangs_up; }
  std::string answer(const std::string& request) override {
    std::string all;
    std::istringstream words(request);
    for (std::string word; words >> word;) {
      if (word == "INFO") all += info();
      if (word == "maxmemory") {
        words >> word >> limit;
        used = std::min(used, limit == 0 ? used : limit);
        if (hangs_up) return "";
        all += "+OK\r\n";
      }
      if (word == "PURGE") {
        ++purges;
        resident = used;
        all += "+OK\r\n";
      }
    }
    return all;
  }

 private:
  std::string info() const {
    const std::string text = "# Server\r\n" + server + "# Memory\r\nused_memory:" + std::to_string(used) +
                             "\r\nused_memory_rss:" + std::to_string(resident) +
                             "\r\nmaxmemory:" + std::to_string(limit) + "\r\nmaxmemory_policy:" + policy +
                             "\r\n";
    return "$" + std::to_string(text.size()) + "\r\n" + text + "\r\n";
  }
};

// A memcached, with what was asked of it.
class Memcached : public Server {
 public:
  using Server::Server;
  std::uint64_t used = 300 * kMiB;
  std::uint64_t limit = 400 * kMiB;
  std::string refusal;  // what it says to everything, when that is not empty
  std::string asked;

 protected:
  std::string answer(const std::string& request) override {
    asked += request;
    if (!refusal.empty()) return refusal;
    if (request == "stats\r\n")
      return "STAT pid 77\r\nSTAT curr_items 5\r\nSTAT bytes " + std::to_string(used) +
             "\r\nSTAT limit_maxbytes " + std::to_string(limit) + "\r\nSTAT evictions 0\r\nEND\r\n";
    constexpr const char* kKnob = "cache_memlimit ";
    if (!request.starts_with(kKnob)) return "ERROR\r\n";
    limit = std::stoull(request.substr(std::strlen(kKnob))) * kMiB;
    used = std::min(used, limit);
    return "OK\r\n";
  }
};

// A loop, and a folder that is gone with the test.
class FolderTest : public testing::Test {
 protected:
  FolderTest() {
    char name[] = "/tmp/cloister-agent-XXXXXX";
    folder_ = mkdtemp(name);
  }
  ~FolderTest() override { std::filesystem::remove_all(folder_); }

  Loop loop_;
  std::string folder_;
};

// What a program answers, in the loop that it is asked in.
struct Answer {
  std::optional<Program::Figures> figures;
  std::string why;
};
inline Answer ask(Loop& loop, Program& program) {
  std::optional<Answer> answer;
  program.ask([&](const std::optional<Program::Figures>& figures, const std::string& why) {
    answer = {figures, why};
  });
  while (!answer) loop.turn(5);
  return *answer;
}
inline std::string turn(Loop& loop, Program& program, std::uint64_t limit) {
  std::optional<std::string> answer;
  program.turn_to(limit, [&](const std::string& why) { answer = why; });
  while (!answer) loop.turn(5);
  return *answer;
}

}  // namespace cloister::agent::testing_servers
