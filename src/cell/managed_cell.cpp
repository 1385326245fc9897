// SPDX-License-Identifier: Apache-2.0
//
// The order of things
//
// The machine is made, the cell shuts itself in, and it greets the daemon. Nothing runs before the daemon
// answers, by itself: the guest's first byte of memory needs a frame, and only a daemon that has welcomed
// this cell grants any. Where the daemon is gone before its welcome, the cell ends, for nobody would ever
// know of it; where it goes later, the cell keeps its allowance, makes room in it when its guest wants
// more, and looks for the next daemon.
#include "cell/managed_cell.h"

#include <atomic>
#include <chrono>

#include "base/log.h"
#include "base/os/file.h"
#include "base/os/signals.h"
#include "cell/console_port.h"
#include "cell/control_link.h"
#include "cell/lease.h"
#include "cell/sandbox.h"
#include "machine/machine.h"

namespace cloister::cell {
namespace {

using control::Message;
using machine::End;
using machine::Machine;

constexpr int kConsoleListener = 3;
constexpr int kConsoleLog = 4;
constexpr auto kReportEvery = std::chrono::seconds(1);

class ManagedCell final : private ControlLink::Listener {
 public:
  explicit ManagedCell(Machine& machine, u64 pages) : machine_(machine), pages_(pages) {}

  Result<void> begin(const RunRequest& request);
  memory::FrameSource& frames() { return lease_; }
  // After the machine's end.
  void end(ExitStatus status, const std::string& reason);

 private:
  control::Hello greeting() override;
  void on_order(const Message& order, os::Fd passed) override;
  void on_alone(bool ever) override;

  void on_power(control::PowerOrder what);
  void speak();
  void report();
  void news();

  Machine& machine_;
  const u64 pages_;
  Lease lease_{[this] { news(); }};
  std::atomic<bool> posted_{false};
  std::unique_ptr<ControlLink> link_;
  bool paused_ = false;
  bool still_ = false;
  u64 reports_ = 0;
};

Result<void> ManagedCell::begin(const RunRequest& request) {
  ControlLink::Listener& self = *this;
  link_ = TRY(ControlLink::connect(machine_.loop(), request.control, self));
  machine_.loop().after(kReportEvery, [this] { report(); });
  return {};
}

control::Hello ManagedCell::greeting() {
  control::Hello hello;
  hello.paused = paused_ ? 1 : 0;
  hello.configured_pages = pages_;
  hello.held_pages = lease_.held_for_greeting().raw;
  return hello;
}

// Any thread; once for many.
void ManagedCell::news() {
  if (!posted_.exchange(true)) machine_.loop().post([this] { speak(); });
}

void ManagedCell::speak() {
  posted_ = false;
  if (!link_->welcome()) return;
  const Lease::News news = lease_.take_news();
  if (news.returned != Pages{}) link_->send(control::Back{0, news.returned.raw});
  if (news.ask) link_->send(control::Want{news.wanted.raw, news.waiting ? 1u : 0u, 0});
}

void ManagedCell::on_order(const Message& order, os::Fd) {
  if (std::holds_alternative<control::Welcome>(order)) return speak();
  if (const auto* grant = std::get_if<control::Grant>(&order)) return lease_.granted(Pages{grant->pages});
  if (const auto* power = std::get_if<control::Power>(&order)) return on_power(power->what);
  if (const auto* still = std::get_if<control::Still>(&order)) {
    still_ = still->on != 0;
    return machine_.set_paused(paused_ || still_);
  }
  if (const auto* ping = std::get_if<control::Ping>(&order)) return link_->send(control::Pong{ping->serial});
}

void ManagedCell::on_power(control::PowerOrder what) {
  if (what == control::PowerOrder::kStop) {
    lease_.close();
    return machine_.request_stop();
  }
  paused_ = what == control::PowerOrder::kPause;
  machine_.set_paused(paused_ || still_);
}

void ManagedCell::on_alone(bool ever) {
  if (ever) return;
  log(LogLevel::kError, "the daemon ended before it greeted this cell");
  lease_.close();
  machine_.request_stop();
}

void ManagedCell::report() {
  const machine::Statistics statistics = machine_.statistics();
  const Lease::Figures figures = lease_.figures();
  control::Report now;
  now.sequence = ++reports_;
  now.used_pages = figures.used.raw;
  now.spare_pages = (figures.held - figures.used).raw;
  for (const auto& hart : statistics.harts) now.run_nanos += hart.running.raw;
  link_->send(now);
  machine_.loop().after(kReportEvery, [this] { report(); });
}

void ManagedCell::end(ExitStatus status, const std::string& reason) {
  lease_.close();
  control::Ended ended;
  ended.status = static_cast<u32>(status);
  control::set_text(ended.reason, reason);
  link_->send_at_the_end(ended);
}

ExitStatus complain(ExitStatus status, const Error& failure) {
  fmt::print(stderr, "cloister-cell: {}\n", failure.message);
  return status;
}

Result<ConsoleLog> open_log() {
  auto first = TRY(os::File::adopt(os::Fd(kConsoleLog), "console log"));
  auto second = TRY(os::File::adopt(os::Fd(kConsoleLog + 1), "console log"));
  return ConsoleLog(std::move(first), std::move(second));
}

Result<ExitStatus> run(const RunRequest& request) {
  ConsolePort console(TRY(open_log()));
  auto signals = TRY(os::ShutdownSignals::create());
  if (request.sandbox) TRY(shut_in(request.machine));
  auto machine = TRY(Machine::create(request.machine, console));
  TRY(machine->loop().watch(signals.fd(), os::Ready::kRead, [&](os::Ready) {
    (void)signals.take();
    machine->request_stop();
  }));
  TRY(console.serve(machine->loop(), os::Fd(kConsoleListener),
                    [&](std::span<const std::byte> typed) { return machine->console_input(typed); }));
  ManagedCell cell(*machine, request.machine.memory.raw >> kPageShift);
  TRY(cell.begin(request));
  if (request.sandbox) TRY(shut_the_door(request.machine));
  const auto outcome = machine->run();
  console.finish();
  if (!outcome.ok()) {
    cell.end(kHostFailed, outcome.failure().message);
    return outcome.failure();
  }
  const ExitStatus status = exit_status_of(outcome->end);
  cell.end(status, outcome->reason);
  return status;
}

}  // namespace

ExitStatus run_managed_cell(const RunRequest& request) {
  os::ignore_broken_pipes();
  const auto status = run(request);
  return status.ok() ? *status : complain(kRefused, status.failure());
}

}  // namespace cloister::cell
