// SPDX-License-Identifier: Apache-2.0
#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <memory>

#include "agent/balloon_app.h"
#include "agent/balloon_process.h"
#include "agent/bridge.h"
#include "agent/config.h"
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

// What stands in a bridge's way does not end the other parts.
bool start_bridge(Loop& loop, const BridgeSettings& settings, std::unique_ptr<Bridge>& bridge) {
  const std::string folder = socket_folder(settings.folder);
  std::string why = "no folder for the bridge's sockets: set XDG_RUNTIME_DIR, or folder in [bridge]";
  if (!folder.empty()) {
    bridge = std::make_unique<Bridge>(loop, settings, folder);
    why = bridge->start();
  }
  if (!why.empty()) say(Weight::kError, "%s", why.c_str());
  return why.empty();
}

int serve(const Options& options, const BridgeSettings& settings) {
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
  std::unique_ptr<Bridge> bridge;
  BridgeSettings bridge_settings = settings;
  bridge_settings.balloon = options.balloon;
  const bool bridged = options.bridge && start_bridge(loop, bridge_settings, bridge);
  if (!bridged && !options.balloon && !options.exec) return 1;
  loop.run();
  close(signals);
  return 0;
}

}  // namespace
}  // namespace cloister::agent

int main(int argc, char** argv) {
  using namespace cloister::agent;
  Options options;
  BridgeSettings bridge;
  const Verdict verdict = read_command_line(argc, argv, options, bridge);
  return verdict.ends ? verdict.status : serve(options, bridge);
}
