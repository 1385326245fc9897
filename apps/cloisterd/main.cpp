// SPDX-License-Identifier: Apache-2.0
// The daemon: reads its configuration, takes over the cells that run, serves the API until it is told to end.
// The cells live on.
#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <thread>

#include "api/routes.h"
#include "base/os/file.h"
#include "base/os/inode.h"
#include "base/os/machine_memory.h"
#include "base/os/signals.h"
#include "base/os/supervisor.h"
#include "base/os/unix_socket.h"
#include "host/host.h"

namespace {

using namespace cloister;

enum ExitStatus : int { kEnded = 0, kRefused = 2, kFailed = 3 };

// The flags are the settings' table.
struct Flags {
  explicit Flags(CLI::App& app) {
    app.add_option("--config", config, "a TOML file whose keys are the flags below")->type_name("FILE");
    app.add_option("--socket", socket, "where the API listens; default \"api\" in the runtime folder")
        ->type_name("PATH");
    values.resize(host::setting_options().size());
    for (std::size_t i = 0; i < values.size(); ++i) {
      const host::SettingOption& option = host::setting_options()[i];
      app.add_option(std::string("--") + option.name, values[i], option.help)->type_name(option.value);
    }
  }

  Result<host::Settings> read() const {
    host::Settings settings = host::default_settings();
    if (!config.empty())
      TRY(host::read_settings(TRY(os::read_text_file(config, Bytes{kMiB})), config, settings));
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (!values[i].empty()) TRY(host::setting_options()[i].set(settings, values[i]));
    }
    TRY(host::complete(settings, os::machine_memory()));
    return settings;
  }

  std::string config, socket;
  std::vector<std::string> values;
};

void keep_supervisor_content(os::EventLoop& loop) {
  const Nanos interval = os::watchdog_interval();
  if (interval == Nanos{}) return;
  os::tell_supervisor("WATCHDOG=1");
  loop.after(std::chrono::nanoseconds(interval.raw / 2), [&loop] { keep_supervisor_content(loop); });
}

// The socket that the supervisor made, or one of our own. A daemon that was killed while it started a cell
// has left its socket to the child, until that runs its program: so who listens there may be gone in a
// moment.
Result<os::Fd> listen(const std::string& path) {
  if (auto passed = os::passed_listener()) return std::move(*passed);
  for (int tries = 50;; --tries) {
    auto listener = os::UnixListener::listen(path);
    if (!listener.ok() && tries == 0) return listener.failure();
    if (listener.ok()) {
      listener->leave_to_another();
      return listener->fd().duplicate();
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

Result<void> serve(const Flags& flags) {
  auto signals = TRY(os::ShutdownSignals::create());
  os::ignore_broken_pipes();
  os::raise_descriptor_limit();
  const host::Settings settings = TRY(flags.read());
  const auto loop = TRY(os::EventLoop::create());
  const auto records = TRY(host::Records::open(settings.state_folder, settings.runtime_folder));
  const auto lock = TRY(records.lock());
  host::CloisterCells cells(settings, records);
  host::Host host(*loop, settings, records, cells);
  TRY(host.recover());
  api::Routes routes(host);
  const std::string path = flags.socket.empty() ? records.api_path() : flags.socket;
  const auto server =
      TRY(api::HttpServer::start(TRY(listen(path)), [&](std::shared_ptr<api::Exchange> exchange) {
        loop->post([&routes, exchange] { routes.handle(exchange); });
      }));
  TRY(loop->watch(signals.fd(), os::Ready::kRead, [&](os::Ready) {
    if (signals.take()) loop->stop();
  }));
  keep_supervisor_content(*loop);
  os::tell_supervisor("READY=1\nSTATUS=serving " + path);
  loop->run();
  os::tell_supervisor("STOPPING=1");
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Runs machines, each in a cell of its own, and shares the host's memory among them.",
               "cloisterd");
  app.set_version_flag("--version", "cloisterd " CLOISTER_VERSION);
  const Flags flags(app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& failure) {
    return app.exit(failure) == 0 ? kEnded : kRefused;
  }
  const auto served = serve(flags);
  if (served.ok()) return kEnded;
  std::fprintf(stderr, "cloisterd: %s\n", served.failure().message.c_str());
  return kRefused;
}
