// SPDX-License-Identifier: Apache-2.0
#include "agent/balloon_process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <string>

#include "agent/log.h"

namespace cloister::agent {
namespace {

constexpr std::uint64_t kStartAgain = 5000;  // milliseconds

}  // namespace

void offer_to_oom_killer() {
  const int file = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (file < 0 || write(file, "1000", 4) != 4)
    say(Weight::kWarning, "cannot become the OOM killer's first choice: %s", std::strerror(errno));
  if (file >= 0) close(file);
}

BalloonProcess::~BalloonProcess() {
  loop_.cancel(timer_);
  if (handle_ < 0) return;
  loop_.forget(handle_);
  kill(id_, SIGTERM);
  waitpid(id_, nullptr, 0);
  close(handle_);
}

void BalloonProcess::start() {
  const std::string most = std::to_string(most_percent_);
  const pid_t parent = getpid();
  id_ = fork();
  if (id_ == 0) {
    // It must not outlive the agent, also when that was killed before this line.
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) _exit(0);
    execl("/proc/self/exe", "cloister-agent", "--config", "/dev/null", "--parts", "balloon", "--most",
          most.c_str(), nullptr);
    _exit(127);
  }
  handle_ = id_ < 0 ? -1 : static_cast<int>(syscall(SYS_pidfd_open, id_, 0));
  if (handle_ < 0) {
    say(Weight::kError, "cannot start the balloon's process: %s", std::strerror(errno));
    timer_ = loop_.after(kStartAgain, [this] { start(); });
    return;
  }
  loop_.watch(handle_, EPOLLIN, [this](std::uint32_t) { ended(); });
}

void BalloonProcess::ended() {
  int status = 0;
  waitpid(id_, &status, 0);
  loop_.forget(handle_);
  close(handle_);
  handle_ = -1;
  if (WIFSIGNALED(status))
    say(Weight::kWarning, "the balloon's process was ended by signal %d: its memory is back with the guest",
        WTERMSIG(status));
  else
    say(Weight::kWarning, "the balloon's process ended with status %d", WEXITSTATUS(status));
  timer_ = loop_.after(kStartAgain, [this] { start(); });
}

}  // namespace cloister::agent
