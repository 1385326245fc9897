// SPDX-License-Identifier: Apache-2.0
#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <memory>

#include "agent/balloon_app.h"
#include "agent/balloon_process.h"
#include "agent/door.h"
#include "agent/log.h"
#include "agent/options.h"

namespace cloister::agent {
namespace {

// SIGTERM and SIGINT end the loop in order: a balloon is given back, sockets vanish from the file system.
int stop_signals(Loop& loop) {
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGTERM);
  sigaddset(&ends, SIGINT);
  sigprocmask(SIG_BLOCK, &ends, nullptr);
  signal(SIGPIPE, SIG_IGN);
  const int descriptor = signalfd(-1, &ends, SFD_CLOEXEC | SFD_NONBLOCK);
  loop.watch(descriptor, EPOLLIN, [&loop](std::uint32_t) { loop.stop(); });
  return descriptor;
}

int serve(const Options& options) {
  Loop loop;
  const int signals = stop_signals(loop);
  const bool alone = options.balloon && !options.bridge && !options.exec;
  BalloonApp balloon(loop, {options.most_percent, {}});
  BalloonProcess balloon_process(loop, options.most_percent);
  Door door(loop, options.sessions);
  if (alone) {
    offer_to_oom_killer();
    balloon.start();
  } else if (options.balloon) {
    balloon_process.start();
  }
  if (options.exec) door.open();
  loop.run();
  close(signals);
  return 0;
}

}  // namespace
}  // namespace cloister::agent

int main(int argc, char** argv) {
  using namespace cloister::agent;
  Options options;
  const Verdict verdict = read_command_line(argc, argv, options);
  return verdict.ends ? verdict.status : serve(options);
}
