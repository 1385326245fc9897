// SPDX-License-Identifier: Apache-2.0
#include "agent/hooks.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

#include "agent/condition_text.h"
#include "agent/log.h"

namespace cloister::agent {
namespace {

void set_environment(const cloister_condition& condition) {
  const std::pair<const char*, std::string> settings[] = {
      {"CLOISTER_LEVEL", level_word(condition.level)},
      {"CLOISTER_RELEASE", std::to_string(condition.release)},
      {"CLOISTER_GAP", std::to_string(condition.gap)},
      {"CLOISTER_TARGET", std::to_string(condition.target)},
      {"CLOISTER_HELD", std::to_string(condition.held)}};
  for (const auto& [name, value] : settings) setenv(name, value.c_str(), 1);
}

// In the child; its standard input is empty, its output is the agent's log.
[[noreturn]] void become(const std::vector<std::string>& command, const cloister_condition& condition) {
  set_environment(condition);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  signal(SIGPIPE, SIG_DFL);
  setsid();
  const int nothing = open("/dev/null", O_RDONLY);
  dup2(nothing, 0);
  dup2(2, 1);
  std::vector<char*> words;
  for (const std::string& word : command) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  execv(words[0], words.data());
  _exit(127);
}

}  // namespace

Hooks::Hooks(Loop& loop, const BridgeSettings& settings)
    : loop_(loop), repeat_(settings.repeat), spread_(settings.spread) {
  for (const ProgramSettings& one : settings.programs) {
    if (one.kind == ProgramKind::kHook) hooks_.push_back({one.name, one.command, -1, -1, 0});
  }
}

Hooks::~Hooks() {
  for (const Hook& hook : hooks_) {
    loop_.cancel(hook.timer);
    if (hook.handle < 0) continue;
    loop_.forget(hook.handle);
    close(hook.handle);
  }
}

void Hooks::tell(const cloister_condition& condition) {
  const std::uint64_t now = milliseconds();
  const bool again = condition.gap != 0 && condition.level > CLOISTER_AMPLE && now >= told_ + repeat_;
  if (condition.level == level_ && !again) return;
  level_ = condition.level;
  told_ = now;
  std::uint64_t turn = 0;
  for (Hook& hook : hooks_) {
    loop_.cancel(hook.timer);
    hook.timer = loop_.after(turn, [this, &hook, condition] { run(hook, condition); });
    turn += spread_;
  }
}

void Hooks::run(Hook& hook, const cloister_condition& condition) {
  if (hook.handle >= 0) return;
  hook.id = fork();
  if (hook.id == 0) become(hook.command, condition);
  if (hook.id > 0) hook.handle = static_cast<int>(syscall(SYS_pidfd_open, hook.id, 0));
  if (hook.handle < 0) return say(Weight::kWarning, "%s: %s", hook.name.c_str(), std::strerror(errno));
  loop_.watch(hook.handle, EPOLLIN, [this, &hook](std::uint32_t) { ended(hook); });
}

void Hooks::ended(Hook& hook) {
  int status = 0;
  waitpid(hook.id, &status, 0);
  loop_.forget(hook.handle);
  close(hook.handle);
  hook.handle = -1;
  if (status != 0)
    say(Weight::kWarning, "%s: %s ended with status %d", hook.name.c_str(), hook.command[0].c_str(),
        WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

}  // namespace cloister::agent
