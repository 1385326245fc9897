// SPDX-License-Identifier: Apache-2.0
// Programs that are asked over a socket of their own: Redis and Valkey by `maxmemory`, memcached by
// `cache_memlimit`.
#include <cstdlib>
#include <utility>

#include "agent/answers.h"
#include "agent/dialogue.h"
#include "agent/program.h"

namespace cloister::agent {
namespace {

// A program to which one dialogue at a time is had.
class Server : public Program {
 public:
  Server(Loop& loop, ProgramSettings settings) : settings_(std::move(settings)), loop_(loop) {}

 protected:
  void converse(std::string request, Dialogue::Whole whole, Dialogue::Done done) {
    dialogue_ = std::make_unique<Dialogue>(loop_, std::move(request), std::move(whole), std::move(done));
    dialogue_->begin(settings_.place);
  }
  const ProgramSettings settings_;

 private:
  Loop& loop_;
  std::unique_ptr<Dialogue> dialogue_;
};

class Redis final : public Server {
 public:
  using Server::Server;

  void ask(Asked asked) override {
    command({{"INFO", "memory"}}, [asked](const std::vector<RedisAnswer>& answers, const std::string& why) {
      if (!why.empty()) return asked(std::nullopt, why);
      const std::string& text = answers.back().text;
      const auto used = info_value(text, "used_memory");
      const auto limit = info_value(text, "maxmemory");
      if (!used || !limit) return asked(std::nullopt, "INFO memory says neither used_memory nor maxmemory");
      Figures figures;
      figures.used = std::strtoull(used->c_str(), nullptr, 10);
      figures.limit = std::strtoull(limit->c_str(), nullptr, 10);
      // It would refuse writes instead of forgetting something.
      figures.can_shrink = info_value(text, "maxmemory_policy").value_or("noeviction") != "noeviction";
      asked(figures, "");
    });
  }

  // What it has freed goes back to the kernel by MEMORY PURGE, where its allocator can.
  void turn_to(std::uint64_t limit, Turned turned) override {
    command({{"CONFIG", "SET", "maxmemory", std::to_string(limit)}, {"MEMORY", "PURGE"}},
            [turned](const std::vector<RedisAnswer>&, const std::string& why) { turned(why); });
  }

 private:
  using Answered = std::function<void(const std::vector<RedisAnswer>& answers, const std::string& why)>;

  // Only the first command must succeed, and the password.
  void command(std::vector<std::vector<std::string>> commands, Answered answered) {
    std::size_t first = 0;
    if (!settings_.password.empty()) {
      std::vector<std::string> words = {"AUTH"};
      if (!settings_.user.empty()) words.push_back(settings_.user);
      words.push_back(settings_.password);
      commands.insert(commands.begin(), words);
      first = 1;
    }
    std::string request;
    for (const auto& words : commands) request += redis_request(words);
    const std::size_t count = commands.size();
    converse(
        std::move(request),
        [count](const std::string& bytes) { return redis_answers(bytes, count).has_value(); },
        [count, first, answered](const std::string& bytes, const std::string& why) {
          if (!why.empty()) return answered({}, why);
          const auto answers = redis_answers(bytes, count);
          for (std::size_t i = 0; i <= first; ++i) {
            if ((*answers)[i].is_error) return answered({}, (*answers)[i].text);
          }
          answered(*answers, "");
        });
  }
};

class Memcached final : public Server {
 public:
  using Server::Server;

  void ask(Asked asked) override {
    converse(
        "stats\r\n", [](const std::string& bytes) { return bytes.ends_with("END\r\n"); },
        [asked](const std::string& bytes, const std::string& why) {
          if (!why.empty()) return asked(std::nullopt, why);
          const auto used = stat_value(bytes, "bytes");
          const auto limit = stat_value(bytes, "limit_maxbytes");
          if (!used || !limit) return asked(std::nullopt, "stats say neither bytes nor limit_maxbytes");
          asked(Figures{*used, *limit, 0, true}, "");
        });
  }

  // Whole MiB, and at least 8: with fewer it has no page for each of its classes.
  void turn_to(std::uint64_t limit, Turned turned) override {
    const std::uint64_t mib = std::max<std::uint64_t>(limit >> 20, 8);
    converse(
        "cache_memlimit " + std::to_string(mib) + "\r\n",
        [](const std::string& bytes) { return bytes.ends_with("\r\n"); },
        [turned](const std::string& bytes, const std::string& why) {
          const bool done = bytes.starts_with("OK");
          turned(!why.empty() ? why : done ? "" : bytes.substr(0, bytes.find('\r')));
        });
  }
};

}  // namespace

std::unique_ptr<Program> make_redis(Loop& loop, const ProgramSettings& settings) {
  return std::make_unique<Redis>(loop, settings);
}
std::unique_ptr<Program> make_memcached(Loop& loop, const ProgramSettings& settings) {
  return std::make_unique<Memcached>(loop, settings);
}

}  // namespace cloister::agent
