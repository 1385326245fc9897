// SPDX-License-Identifier: Apache-2.0
// Programs that are asked over a socket of their own: Redis and Valkey by `maxmemory`, memcached by
// `cache_memlimit`.
#include <algorithm>
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

  // It forgets little by little after its limit fell, and what it forgot its allocator keeps for some
  // seconds: until it is below its limit, each question is also an order to let go of that, where its
  // allocator can.
  void ask(Asked asked) override {
    std::vector<std::vector<std::string>> commands;
    if (forgets_) commands.push_back({"MEMORY", "PURGE"});
    commands.push_back({"INFO", "memory"});
    command(std::move(commands), [this, asked](const RedisAnswer& answer, const std::string& why) {
      if (!why.empty()) return asked(std::nullopt, why);
      const std::string& text = answer.text;
      const auto number = [&](const char* name) {
        const auto value = info_value(text, name);
        return value ? std::strtoull(value->c_str(), nullptr, 10) : 0;
      };
      if (!info_value(text, "used_memory") || !info_value(text, "maxmemory"))
        return asked(std::nullopt, "INFO memory says neither used_memory nor maxmemory");
      Figures figures;
      figures.used = number("used_memory");
      figures.resident = number("used_memory_rss");
      figures.limit = number("maxmemory");
      forgets_ = forgets_ && std::max(figures.used, figures.resident) > figures.limit;
      // It would refuse writes instead of forgetting something.
      figures.can_shrink = info_value(text, "maxmemory_policy").value_or("noeviction") != "noeviction";
      asked(figures, "");
    });
  }

  void turn_to(std::uint64_t limit, Turned turned) override {
    forgets_ = limit != 0;
    command({{"CONFIG", "SET", "maxmemory", std::to_string(limit)}},
            [turned](const RedisAnswer&, const std::string& why) { turned(why); });
  }

 private:
  using Answered = std::function<void(const RedisAnswer& answer, const std::string& why)>;

  // `answered` hears of the last: it must succeed, and the password; others need not.
  void command(std::vector<std::vector<std::string>> commands, Answered answered) {
    const bool has_password = !settings_.password.empty();
    if (has_password) {
      std::vector<std::string> words = {"AUTH"};
      if (!settings_.user.empty()) words.push_back(settings_.user);
      words.push_back(settings_.password);
      commands.insert(commands.begin(), words);
    }
    std::string request;
    for (const auto& words : commands) request += redis_request(words);
    const std::size_t count = commands.size();
    converse(
        std::move(request),
        [count](const std::string& bytes) { return redis_answers(bytes, count).has_value(); },
        [count, has_password, answered](const std::string& bytes, const std::string& why) {
          if (!why.empty()) return answered({}, why);
          const auto answers = redis_answers(bytes, count);
          const RedisAnswer &first = answers->front(), &last = answers->back();
          if (has_password && first.is_error) return answered({}, first.text);
          answered(last, last.is_error ? last.text : "");
        });
  }

  bool forgets_ = false;  // its limit fell, and it may still have more
};

class Memcached final : public Server {
 public:
  using Server::Server;

  void ask(Asked asked) override {
    converse(
        "stats\r\n",
        [](const std::string& bytes) {
          return bytes.ends_with("END\r\n") || (!bytes.starts_with("STAT ") && bytes.ends_with("\r\n"));
        },
        [asked](const std::string& bytes, const std::string& why) {
          if (!why.empty()) return asked(std::nullopt, why);
          if (!bytes.starts_with("STAT ")) return asked(std::nullopt, bytes.substr(0, bytes.find('\r')));
          const auto used = stat_value(bytes, "bytes");
          const auto limit = stat_value(bytes, "limit_maxbytes");
          if (!used || !limit) return asked(std::nullopt, "stats say neither bytes nor limit_maxbytes");
          asked(Figures{.used = *used, .limit = *limit}, "");
        });
  }

  // Whole MiB, and at least 8: with fewer it has no page for each of its classes.
  std::uint64_t kept(std::uint64_t limit) const override {
    return std::max<std::uint64_t>(limit >> 20, 8) << 20;
  }
  void turn_to(std::uint64_t limit, Turned turned) override {
    converse(
        "cache_memlimit " + std::to_string(kept(limit) >> 20) + "\r\n",
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
