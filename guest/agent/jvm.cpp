// SPDX-License-Identifier: Apache-2.0
// A Java virtual machine (HotSpot), by its attach mechanism: the one that jcmd uses. No JDK is needed beside
// it.
//
// A file named .attach_pid<N> and SIGQUIT make the machine listen on /tmp/.java_pid<N>; a machine that
// listens already needs neither. SIGQUIT ends any other program, so it is sent only to one that has libjvm
// mapped. A connection carries one command: the version "1", its name and three arguments, each ended by a
// zero; the answer is a status line and a text. The agent must run as the machine's user, or as root.
//
// SoftMaxHeapSize is honoured by ZGC and Shenandoah. The other collectors give memory back at a full
// collection: `collect` asks for one, with the part of the heap that may stay free set small before.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <utility>

#include "agent/answers.h"
#include "agent/dialogue.h"
#include "agent/program.h"

namespace cloister::agent {
namespace {

constexpr int kLooks = 250;                  // for its socket
constexpr std::uint64_t kBetweenLooks = 20;  // milliseconds
constexpr std::uint64_t kLeastPart = 6;      // of what it uses: less is not worth a collection

std::string whole_file(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// Its number where it lives itself: the last of NSpid.
std::string inner_number(const std::string& process) {
  const std::string status = whole_file("/proc/" + process + "/status");
  const std::size_t at = status.find("NSpid:");
  if (at == std::string::npos) return process;
  const std::string line = status.substr(at, status.find('\n', at) - at);
  return line.substr(line.find_last_of(" \t") + 1);
}

std::string command_of(const std::vector<std::string>& words) {
  std::string request = "1";
  request += '\0';
  for (std::size_t i = 0; i < 4; ++i) {
    if (i < words.size()) request += words[i];
    request += '\0';
  }
  return request;
}

class Jvm final : public Program {
 public:
  Jvm(Loop& loop, ProgramSettings settings) : loop_(loop), settings_(std::move(settings)) {}
  ~Jvm() override { loop_.cancel(timer_); }

  void ask(Asked asked) override {
    run({{"jcmd", "GC.heap_info"}, {"printflag", "SoftMaxHeapSize"}, {"printflag", "MaxHeapSize"}},
        [asked](const std::vector<std::string>& answers, const std::string& why) {
          if (!why.empty()) return asked(std::nullopt, why);
          const auto used = heap_size_in(answers[0]);
          const auto limit = flag_value(answers[1]), ceiling = flag_value(answers[2]);
          if (!used || !limit || !ceiling)
            return asked(std::nullopt, "its answers about its heap are not understood");
          Figures figures{*used, *limit == 0 ? *ceiling : *limit, *ceiling, true};
          figures.least = *used / kLeastPart;
          asked(figures, "");
        });
  }

  void turn_to(std::uint64_t limit, Turned turned) override {
    std::vector<std::vector<std::string>> commands = {{"setflag", "SoftMaxHeapSize", std::to_string(limit)}};
    if (settings_.collect && limit < last_limit_) {
      commands.push_back({"setflag", "MinHeapFreeRatio", "5"});
      commands.push_back({"setflag", "MaxHeapFreeRatio", "10"});
      commands.push_back({"jcmd", "GC.run"});
    }
    last_limit_ = limit;
    run(std::move(commands),
        [turned](const std::vector<std::string>&, const std::string& why) { turned(why); });
  }

 private:
  using Done = std::function<void(const std::vector<std::string>& answers, const std::string& why)>;

  void run(std::vector<std::vector<std::string>> commands, Done done) {
    commands_ = std::move(commands);
    answers_.clear();
    done_ = std::move(done);
    const std::string why = find();
    if (!why.empty()) {
      timer_ = loop_.after(0, [this, why] { finish(why); });
    } else {
      looks_ = 0;
      timer_ = loop_.after(0, [this] { await_socket(); });
    }
  }

  // Finds the process and where it listens; asks it to listen when it does not. What is wrong, or nothing.
  std::string find() {
    std::istringstream(whole_file(settings_.pid_file)) >> process_;
    if (process_.empty() || process_.find_first_not_of("0123456789") != std::string::npos)
      return settings_.pid_file + " does not name a process";
    const std::string number = inner_number(process_);
    const std::string root = "/proc/" + process_ + "/root";
    socket_ = root + "/tmp/.java_pid" + number;
    if (is_socket()) return "";
    if (whole_file("/proc/" + process_ + "/maps").find("libjvm.so") == std::string::npos)
      return "process " + process_ + " is no Java virtual machine, or another user's";
    mark_ = root + "/tmp/.attach_pid" + number;
    const int mark = open(mark_.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (mark < 0) return "cannot make " + mark_;
    close(mark);
    kill(static_cast<pid_t>(std::strtol(process_.c_str(), nullptr, 10)), SIGQUIT);
    return "";
  }

  bool is_socket() const {
    struct stat there = {};
    return lstat(socket_.c_str(), &there) == 0 && S_ISSOCK(there.st_mode);
  }

  void await_socket() {
    if (is_socket()) return begin_next();
    if (++looks_ > kLooks) return finish("it does not let itself be attached to");
    timer_ = loop_.after(kBetweenLooks, [this] { await_socket(); });
  }

  void begin_next() {
    if (!mark_.empty()) unlink(mark_.c_str());
    mark_.clear();
    if (answers_.size() == commands_.size()) return finish("");
    dialogue_ = std::make_unique<Dialogue>(
        loop_, command_of(commands_[answers_.size()]), nullptr,
        [this](const std::string& answer, const std::string& why) { take(answer, why); });
    Place place;
    place.path = socket_;
    dialogue_->begin(place);
  }

  // The first line is 0 when all is well.
  void take(const std::string& answer, const std::string& why) {
    if (!why.empty()) return finish(why);
    const std::size_t line = answer.find('\n');
    const std::string text = line == std::string::npos ? "" : answer.substr(line + 1);
    if (!answer.starts_with("0\n")) return finish(text.substr(0, text.find('\n')));
    answers_.push_back(text);
    timer_ = loop_.after(0, [this] { begin_next(); });
  }

  void finish(const std::string& why) {
    if (!mark_.empty()) unlink(mark_.c_str());
    mark_.clear();
    const Done done = std::move(done_);
    const std::vector<std::string> answers = std::move(answers_);
    done(answers, why);
  }

  Loop& loop_;
  const ProgramSettings settings_;
  std::vector<std::vector<std::string>> commands_;
  std::vector<std::string> answers_;
  Done done_;
  std::string process_, socket_, mark_;
  int looks_ = 0;
  Loop::Timer timer_ = 0;
  std::uint64_t last_limit_ = UINT64_MAX;
  std::unique_ptr<Dialogue> dialogue_;
};

}  // namespace

std::unique_ptr<Program> make_jvm(Loop& loop, const ProgramSettings& settings) {
  return std::make_unique<Jvm>(loop, settings);
}

}  // namespace cloister::agent
