// SPDX-License-Identifier: Apache-2.0
#include "agent/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

namespace cloister::agent {
namespace {

constexpr int kNotExecutable = 126, kNotFound = 127;

// Descriptors that are closed on every way out, but for those that were handed on.
class Ends {
 public:
  ~Ends() {
    for (const int one : all_) {
      if (one >= 0) close(one);
    }
  }
  int keep(int descriptor) {
    all_[used_++] = descriptor;
    return descriptor;
  }
  int hand_on(int descriptor) {
    std::replace(all_.begin(), all_.end(), descriptor, -1);
    return descriptor;
  }

 private:
  std::array<int, 16> all_{-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1};
  std::size_t used_ = 0;
};

// What the child has as 0, 1 and 2, and the agent's ends of them.
struct Streams {
  int child[3] = {-1, -1, -1};
  int ours[3] = {-1, -1, -1};
};

bool make_pipes(Ends& ends, Streams& streams) {
  for (int i = 0; i < 3; ++i) {
    int both[2];
    if (pipe2(both, O_CLOEXEC) != 0) return false;
    ends.keep(both[0]);
    ends.keep(both[1]);
    streams.child[i] = both[i == 0 ? 0 : 1];
    streams.ours[i] = both[i == 0 ? 1 : 0];
    fcntl(streams.ours[i], F_SETFL, O_NONBLOCK);
  }
  return true;
}

bool make_terminal(Ends& ends, Streams& streams) {
  const int ours = ends.keep(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
  char name[64];
  if (ours < 0 || grantpt(ours) != 0 || unlockpt(ours) != 0 || ptsname_r(ours, name, sizeof name) != 0)
    return false;
  const int child = ends.keep(open(name, O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (child < 0) return false;
  std::fill(std::begin(streams.child), std::end(streams.child), child);
  fcntl(ours, F_SETFL, O_NONBLOCK);
  streams.ours[0] = streams.ours[1] = ours;
  return true;
}

struct Plan {
  std::vector<char*> arguments;
  std::vector<char*> settings;
  const char* folder;
  bool terminal;
};

Plan plan_of(const ExecRequest& request) {
  Plan plan;
  for (const std::string& one : request.arguments) plan.arguments.push_back(const_cast<char*>(one.c_str()));
  plan.arguments.push_back(nullptr);
  for (const std::string& one : request.settings) plan.settings.push_back(const_cast<char*>(one.c_str()));
  plan.folder = request.folder.empty() ? nullptr : request.folder.c_str();
  plan.terminal = request.terminal;
  return plan;
}

void forget_signals() {
  for (int one = 1; one < NSIG; ++one) signal(one, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
}

// What a child could not do, and why.
struct Failure {
  enum Step : int { kStreams, kFolder, kProgram } step;
  int error;
};

// In the child; does not return. What fails first is written to `complaint`.
[[noreturn]] void become(const Plan& plan, const Streams& streams, int complaint) {
  const auto give_up = [complaint](Failure::Step step) {
    const Failure failure = {step, errno};
    [[maybe_unused]] const ssize_t done = write(complaint, &failure, sizeof failure);
    _exit(kNotFound);
  };
  setsid();
  forget_signals();
  for (int i = 0; i < 3; ++i) {
    if (dup2(streams.child[i], i) < 0) give_up(Failure::kStreams);
  }
  if (plan.terminal) ioctl(0, TIOCSCTTY, 0);
  for (char* setting : plan.settings) putenv(setting);
  if (plan.folder != nullptr && chdir(plan.folder) != 0) give_up(Failure::kFolder);
  execvp(plan.arguments[0], plan.arguments.data());
  give_up(Failure::kProgram);
  __builtin_unreachable();
}

// As shells have it, and env(1), timeout(1), nohup(1).
int status_of(const Failure& failure) {
  if (failure.step != Failure::kProgram) return 0;
  return failure.error == ENOENT ? kNotFound : kNotExecutable;
}

std::string text_of(const Failure& failure, const ExecRequest& request) {
  const std::string what[] = {"cannot make standard streams", "cannot go to " + request.folder,
                              "cannot start " + request.arguments[0]};
  return what[failure.step] + ": " + std::strerror(failure.error);
}

}  // namespace

void set_window(int terminal, std::uint32_t rows, std::uint32_t columns) {
  winsize size = {};
  size.ws_row = static_cast<unsigned short>(std::min(rows, 65535u));
  size.ws_col = static_cast<unsigned short>(std::min(columns, 65535u));
  ioctl(terminal, TIOCSWINSZ, &size);
}

bool start_process(const ExecRequest& request, Process& process, Refusal& refusal) {
  Ends ends;
  Streams streams;
  int told[2];
  const auto fail = [&](const std::string& what, int error) {
    refusal = {what + ": " + std::strerror(error), 0};
    return false;
  };
  if (!(request.terminal ? make_terminal(ends, streams) : make_pipes(ends, streams)))
    return fail("cannot make standard streams", errno);
  if (request.terminal && request.rows != 0) set_window(streams.ours[0], request.rows, request.columns);
  if (pipe2(told, O_CLOEXEC) != 0) return fail("cannot make a pipe", errno);
  ends.keep(told[0]);
  ends.keep(told[1]);
  const Plan plan = plan_of(request);
  const pid_t child = fork();
  if (child < 0) return fail("cannot start a process", errno);
  if (child == 0) become(plan, streams, told[1]);
  close(ends.hand_on(told[1]));
  Failure failure = {};
  if (read(told[0], &failure, sizeof failure) == sizeof failure) {
    waitpid(child, nullptr, 0);
    refusal = {text_of(failure, request), status_of(failure)};
    return false;
  }
  process.id = child;
  process.handle = static_cast<int>(syscall(SYS_pidfd_open, child, 0));
  process.in = ends.hand_on(streams.ours[0]);
  process.out = ends.hand_on(streams.ours[1]);
  process.error = streams.ours[2] < 0 ? -1 : ends.hand_on(streams.ours[2]);
  return true;
}

End end_of(const Process& process) {
  int status = 0;
  while (waitpid(process.id, &status, 0) < 0 && errno == EINTR) {
  }
  End end;
  if (WIFSIGNALED(status)) end.signal = WTERMSIG(status);
  if (WIFEXITED(status)) end.status = WEXITSTATUS(status);
  return end;
}

}  // namespace cloister::agent
