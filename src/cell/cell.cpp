// SPDX-License-Identifier: Apache-2.0
#include "cell/cell.h"

#include <array>
#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "base/os/file.h"
#include "base/os/signals.h"
#include "base/os/standard_streams.h"
#include "base/os/terminal.h"
#include "cell/console.h"
#include "cell/cooperation.h"
#include "cell/managed_cell.h"
#include "machine/machine.h"

namespace cloister::cell {
namespace {

using machine::End;
using machine::Machine;

// From standard input to the guest's console, at the guest's speed: what finds no room there waits, and
// nothing more is read meanwhile. Lives on the machine's event loop.
class Typist {
 public:
  Typist(Machine& machine, bool escapes) : machine_(machine), escapes_(escapes) { listen(); }

 private:
  static constexpr auto kRetry = std::chrono::milliseconds(5);

  // A file that was redirected here cannot be watched and is always ready.
  void listen() {
    const auto watched =
        machine_.loop().watch(os::kStandardInput, os::Ready::kRead, [this](os::Ready) { read(); });
    if (!watched.ok()) machine_.loop().post([this] { read(); });
  }

  void read() {
    machine_.loop().forget(os::kStandardInput);
    std::array<std::byte, 4096> typed;
    const std::size_t count = os::read_standard_input(typed);
    if (count == 0) return;  // the end of what is typed: the guest goes on without
    const std::span<const std::byte> keys(typed.data(), count);
    waiting_ = escapes_ ? filter_.pass(keys, [this](Command command) { obey(command); })
                        : std::vector<std::byte>(keys.begin(), keys.end());
    deliver();
  }

  void deliver() {
    const std::size_t taken = machine_.console_input(waiting_);
    waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<std::ptrdiff_t>(taken));
    if (waiting_.empty()) return listen();
    machine_.loop().after(kRetry, [this] { deliver(); });
  }

  void obey(Command command) {
    if (command == Command::kQuit) return machine_.request_stop();
    fmt::print(stderr,
               "\r\nCtrl-A x  end the machine\r\nCtrl-A h  this help\r\nCtrl-A Ctrl-A  send Ctrl-A\r\n");
  }

  Machine& machine_;
  const bool escapes_;
  EscapeFilter filter_;
  std::vector<std::byte> waiting_;
};

double seconds(Nanos time) { return static_cast<double>(time.raw) / 1e9; }

Result<void> write_text(const std::string& path, const std::string& text) {
  os::File file = TRY(os::File::open(path, os::Open::kCreate));
  TRY(file.resize(Bytes{0}));
  return file.write_at(0, std::as_bytes(std::span(text)));
}

// What a person asked to be told of the machine, now that it has ended.
Result<void> write_reports(const machine::MachineConfig& config, Machine& machine) {
  if (!config.profile.empty()) TRY(write_text(config.profile, TRY(machine.profile())));
  if (!config.perf_map) return {};
  std::error_code none;
  const std::string process = std::filesystem::read_symlink("/proc/self", none).string();
  return write_text(fmt::format("/tmp/perf-{}.map", process), TRY(machine.perf_map()));
}

Result<void> write_stats(const std::string& path, Machine& machine, const machine::MachineConfig& config) {
  const machine::Statistics statistics = machine.statistics();
  nlohmann::json harts = nlohmann::json::array();
  for (const auto& hart : statistics.harts) {
    harts.push_back({{"id", hart.id},
                     {"instructions", hart.instructions},
                     {"running_seconds", seconds(hart.running)},
                     {"waits", hart.waits}});
  }
  nlohmann::json stats = {{"wall_seconds", seconds(statistics.wall)},
                          {"reboots", statistics.reboots},
                          {"guest_memory_host_bytes", machine.memory().host().raw},
                          {"harts", harts}};
  if (config.deterministic) stats["memory_digest"] = fmt::format("{:016x}", machine.memory_digest());
  return write_text(path, stats.dump(2) + "\n");
}

ExitStatus complain(ExitStatus status, const Error& failure) {
  fmt::print(stderr, "cloister: {}\n", failure.message);
  return status;
}

Result<machine::Outcome> run_with_console(Machine& machine, bool batch) {
  const os::RawTerminal raw(batch ? -1 : os::kStandardInput);
  const Typist typist(machine, !batch);
  return machine.run();
}

}  // namespace

ExitStatus exit_status_of(End end) {
  switch (end) {
    case End::kPowerOff:
      return kPoweredOff;
    case End::kReboot:
      return kRebooted;
    case End::kFailure:
    case End::kHalted:
      return kGuestFailed;
    case End::kStopped:
      return kStopped;
  }
  return kHostFailed;
}

ExitStatus run_cell(const RunRequest& request) {
  if (!request.control.empty()) return run_managed_cell(request);
  os::ignore_broken_pipes();
  StandardOutput output;
  auto signals = os::ShutdownSignals::create();
  if (!signals.ok()) return complain(kHostFailed, signals.failure());
  auto machine = Machine::create(request.machine, output);
  if (!machine.ok()) return complain(kRefused, machine.failure());
  const auto watched = (*machine)->loop().watch(signals->fd(), os::Ready::kRead, [&](os::Ready) {
    (void)signals->take();
    (*machine)->request_stop();
  });
  if (!watched.ok()) return complain(kHostFailed, watched.failure());
  const Cooperation cooperation((*machine)->loop(), **machine, request.machine);
  const auto outcome = run_with_console(**machine, request.batch);
  if (!outcome.ok()) return complain(kHostFailed, outcome.failure());
  if (outcome->end != End::kPowerOff)
    fmt::print(stderr, "cloister: the machine ended: {}\n", outcome->reason);
  if (!request.stats.empty()) {
    const auto written = write_stats(request.stats, **machine, request.machine);
    if (!written.ok()) return complain(kHostFailed, written.failure());
  }
  const auto written = write_reports(request.machine, **machine);
  if (!written.ok()) return complain(kHostFailed, written.failure());
  return exit_status_of(outcome->end);
}

}  // namespace cloister::cell
