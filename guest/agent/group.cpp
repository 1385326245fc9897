// SPDX-License-Identifier: Apache-2.0
// A control group (v2), by memory.high: its programs are slowed and reclaimed from above that, and never
// killed for it.
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <utility>

#include "agent/program.h"
#include "lib/figures.h"

namespace cloister::agent {
namespace {

constexpr std::uint64_t kPage = 4096;

class Group final : public Program {
 public:
  Group(Loop& loop, ProgramSettings settings) : loop_(loop), settings_(std::move(settings)) {}
  ~Group() override { loop_.cancel(timer_); }

  void ask(Asked asked) override {
    timer_ = loop_.after(0, [this, asked] {
      const std::string used = text_of("memory.current"), limit = text_of("memory.high");
      if (used.empty() || limit.empty())
        return asked(std::nullopt, settings_.path + " has no memory.current and memory.high");
      asked(Figures{std::strtoull(used.c_str(), nullptr, 10), std::strtoull(limit.c_str(), nullptr, 10), 0,
                    true},
            "");
    });
  }

  void turn_to(std::uint64_t limit, Turned turned) override {
    timer_ = loop_.after(0, [this, limit, turned] { turned(write_limit(limit)); });
  }

  // The kernel counts whole pages.
  std::uint64_t kept(std::uint64_t limit) const override { return limit / kPage * kPage; }

 private:
  // "max" reads as 0, which is "no limit" here too.
  std::string text_of(const char* name) const {
    char text[64];
    guest::read_text((settings_.path + "/" + name).c_str(), text, sizeof text);
    return text;
  }

  std::string write_limit(std::uint64_t limit) const {
    const std::string path = settings_.path + "/memory.high";
    const std::string text = limit == 0 ? "max" : std::to_string(limit);
    const int file = open(path.c_str(), O_WRONLY | O_TRUNC | O_CLOEXEC);
    const bool done = file >= 0 && write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size());
    const std::string why = done ? "" : "cannot write " + path + ": " + std::strerror(errno);
    if (file >= 0) close(file);
    return why;
  }

  Loop& loop_;
  const ProgramSettings settings_;
  Loop::Timer timer_ = 0;
};

}  // namespace

std::unique_ptr<Program> make_group(Loop& loop, const ProgramSettings& settings) {
  return std::make_unique<Group>(loop, settings);
}

std::unique_ptr<Program> make_program(Loop& loop, const ProgramSettings& settings) {
  switch (settings.kind) {
    case ProgramKind::kRedis:
      return make_redis(loop, settings);
    case ProgramKind::kMemcached:
      return make_memcached(loop, settings);
    case ProgramKind::kJvm:
      return make_jvm(loop, settings);
    case ProgramKind::kGroup:
      return make_group(loop, settings);
    default:
      return nullptr;
  }
}

}  // namespace cloister::agent
