// SPDX-License-Identifier: Apache-2.0
//
// The order of things
//
// The machine is made, the cell shuts itself in, and it greets the daemon. Nothing runs before the daemon
// answers, by itself: the guest's first byte of memory needs a frame, and only a daemon that has welcomed
// this cell grants any. Where the daemon is gone before its welcome, the cell ends, for nobody would ever
// know of it; where it goes later, the cell keeps its allowance, makes room in it when its guest wants
// more, and looks for the next daemon.
//
// The channel has a thread and a loop of its own. The machine's loop may wait for a frame (a packet of the
// network comes in), and the frame's coming is told on the channel.
#include "cell/managed_cell.h"

#include <algorithm>
#include <atomic>
#include <chrono>

#include "base/log.h"
#include "base/os/event_loop.h"
#include "base/os/file.h"
#include "base/os/signals.h"
#include "base/os/thread.h"
#include "cell/console_port.h"
#include "cell/control_link.h"
#include "cell/cooperation.h"
#include "cell/housekeeper.h"
#include "cell/lease.h"
#include "cell/sandbox.h"
#include "cell/sharer.h"
#include "machine/machine.h"
#include "memory/swap_file.h"

namespace cloister::cell {
namespace {

using control::Message;
using machine::End;
using machine::Machine;

constexpr int kConsoleListener = 3;
constexpr int kConsoleLog = 4;
constexpr int kSwapFile = 6;
constexpr int kVsockListener = 7;

class ManagedCell final : private ControlLink::Listener {
 public:
  explicit ManagedCell(Machine& machine)
      : machine_(machine),
        housekeeper_(
            machine.memory(), lease_, [this](const control::Done& done) { tell_end_of(done); },
            [this] { return machine_.run_time(); }),
        sharer_(machine.memory(), housekeeper_, [this](const Message& message) { tell(message); }) {}

  ~ManagedCell() override { stop_talking(); }

  Result<void> begin(const RunRequest& request);
  // After the machine's end.
  void end(ExitStatus status, const std::string& reason);

 private:
  control::Hello greeting() override;
  void on_order(const Message& order, os::Fd passed) override;
  void on_alone(bool ever) override;

  void on_power(control::PowerOrder what);
  void stop_talking();
  void speak();
  void report(std::chrono::nanoseconds next);
  void count_memory(control::Report& report) const;
  void news();
  void tell(const Message& message);
  void tell_end_of(const control::Done& done);
  u64 pages() const { return machine_.memory().size().raw >> kPageShift; }

  Machine& machine_;
  std::unique_ptr<os::EventLoop> loop_;  // outlives whoever posts
  Lease lease_{[this] { news(); }};
  std::unique_ptr<memory::SwapFile> swap_;
  Housekeeper housekeeper_;
  Sharer sharer_;
  std::optional<Cooperation> cooperation_;  // the loop's
  std::atomic<bool> posted_{false};
  std::unique_ptr<ControlLink> link_;  // the loop's
  os::Thread talk_;
  bool paused_ = false;
  bool still_ = false;
  u64 reports_ = 0;
};

Result<void> ManagedCell::begin(const RunRequest& request) {
  loop_ = TRY(os::EventLoop::create());
  machine_.memory().set_frame_source(lease_);
  if (request.swap != Bytes{}) {
    auto file = TRY(os::File::adopt(os::Fd(kSwapFile), "swap file"));
    swap_ = TRY(memory::SwapFile::adopt(std::move(file), request.swap));
    machine_.memory().set_swap(*swap_);
  }
  cooperation_.emplace(*loop_, machine_, request.machine);
  if (swap_ != nullptr) cooperation_->set_swap(*swap_);
  housekeeper_.set_guest({[this] { return cooperation_->able(); },
                          [this](Pages more, Nanos deadline) { cooperation_->ask(more, deadline); },
                          [this] { return cooperation_->spent(); }});
  TRY(housekeeper_.start());
  ControlLink::Listener& self = *this;
  link_ = TRY(ControlLink::connect(*loop_, request.control, self));
  cooperation_->set_at_beat(
      [this](bool seldom) { report(seldom ? Cooperation::kSeldomBeat : Cooperation::kBeat); },
      [this] { return link_->welcome() && !lease_.waiting(); });
  talk_ = TRY(os::Thread::start("control", [this] { loop_->run(); }));
  return {};
}

void ManagedCell::stop_talking() {
  if (!talk_.running()) return;
  loop_->stop();
  talk_.join();
}

control::Hello ManagedCell::greeting() {
  control::Hello hello;
  hello.paused = paused_ ? 1 : 0;
  hello.configured_pages = pages();
  hello.held_pages = lease_.held_for_greeting().raw;
  hello.has_vault = sharer_.has_vault() ? 1 : 0;
  hello.shared_pages =
      machine_.memory().usage().in_state[static_cast<std::size_t>(memory::PageState::kShared)].raw;
  return hello;
}

// Any thread; once for many.
void ManagedCell::news() {
  if (!posted_.exchange(true)) loop_->post([this] { speak(); });
}

void ManagedCell::speak() {
  posted_ = false;
  // Without a daemon there is nobody to ask: what is wanted must be found in what there is.
  if (!link_->welcome()) return lease_.waiting() ? housekeeper_.make_room() : void();
  const Lease::News news = lease_.take_news();
  if (news.returned != Pages{}) link_->send(control::Back{0, news.returned.raw});
  if (!news.ask) return;
  link_->send(control::Want{news.wanted.raw, news.waiting ? 1u : 0u, 0});
  cooperation_->quicken();
  housekeeper_.look_soon();
}

// Any thread.
void ManagedCell::tell(const Message& message) {
  loop_->post([this, message] { link_->send(message); });
}

// What came back by the order first, then its end.
void ManagedCell::tell_end_of(const control::Done& done) {
  loop_->post([this, done] {
    speak();
    link_->send(done);
  });
}

void ManagedCell::on_order(const Message& order, os::Fd passed) {
  if (std::holds_alternative<control::Welcome>(order)) return speak();
  if (const auto* grant = std::get_if<control::Grant>(&order)) return lease_.granted(Pages{grant->pages});
  if (const auto* reclaim = std::get_if<control::Reclaim>(&order)) {
    cooperation_->quicken();
    return housekeeper_.order(*reclaim);
  }
  if (const auto* settings = std::get_if<control::Settings>(&order)) return housekeeper_.sample_as(*settings);
  if (const auto* vault = std::get_if<control::VaultIs>(&order)) {
    return sharer_.use(std::move(passed), Pages{vault->frames});
  }
  if (const auto* hash = std::get_if<control::HashPages>(&order)) return sharer_.hash(*hash);
  if (const auto* read = std::get_if<control::ReadPage>(&order)) return sharer_.read(*read);
  if (const auto* share = std::get_if<control::Share>(&order)) {
    cooperation_->quicken();
    return sharer_.share(*share);
  }
  if (const auto* power = std::get_if<control::Power>(&order)) return on_power(power->what);
  if (const auto* standing = std::get_if<control::Standing>(&order)) return cooperation_->stand(*standing);
  if (const auto* still = std::get_if<control::Still>(&order)) {
    still_ = still->on != 0;
    cooperation_->set_standing_still(still_);
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
  if (ever) return lease_.waiting() ? housekeeper_.make_room() : void();
  log(LogLevel::kError, "the daemon ended before it greeted this cell");
  lease_.close();
  machine_.request_stop();
}

void ManagedCell::report(std::chrono::nanoseconds next) {
  if (!link_->welcome() && lease_.waiting()) housekeeper_.make_room();
  control::Report now;
  now.sequence = ++reports_;
  now.run_nanos = machine_.run_time().raw;
  now.next_nanos = static_cast<u64>(next.count());
  count_memory(now);
  cooperation_->fill_in(now);
  const Housekeeper::Figures figures = housekeeper_.figures();
  now.period = figures.periods;
  now.sampled = figures.running.sampled;
  now.touched = figures.running.touched;
  now.last_sampled = figures.last.sampled;
  now.last_touched = figures.last.touched;
  now.swap_failed = figures.swap_failed ? 1 : 0;
  now.curve = figures.curve;
  link_->send(now);
}

void ManagedCell::count_memory(control::Report& report) const {
  using memory::PageState;
  const auto usage = machine_.memory().usage();
  const auto in = [&](PageState state) { return usage.in_state[static_cast<std::size_t>(state)].raw; };
  report.used_pages = usage.frames.raw;
  report.spare_pages = lease_.figures().held.raw - std::min(lease_.figures().held.raw, usage.frames.raw);
  report.zero_pages = in(PageState::kZero);
  report.shared_pages = in(PageState::kShared);
  report.compressed_pages = in(PageState::kCompressed);
  report.compressed_bytes = bytes_of(usage.store).raw;
  report.swapped_pages = in(PageState::kSwapped);
  report.pages_in = usage.unpacked.raw;
  report.pages_out = usage.packed.raw;
  if (swap_ == nullptr) return;
  report.pages_in += swap_->counts().read.raw;
  report.pages_out += swap_->counts().written.raw;
}

void ManagedCell::end(ExitStatus status, const std::string& reason) {
  lease_.close();
  housekeeper_.stop();
  stop_talking();
  control::Ended ended;
  ended.status = static_cast<u32>(status);
  control::set_text(ended.reason, reason);
  if (link_) link_->send_at_the_end(ended);
}

ExitStatus refuse(ExitStatus status, const Error& failure) {
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
  std::unique_ptr<ManagedCell> cell;  // the machine's memory gives its frames back to it in the end
  machine::MachineConfig config = request.machine;
  if (config.vsock.empty()) config.vsock_listener = kVsockListener;
  auto machine = TRY(Machine::create(config, console));
  TRY(machine->loop().watch(signals.fd(), os::Ready::kRead, [&](os::Ready) {
    (void)signals.take();
    machine->request_stop();
  }));
  if (request.sandbox) TRY(shut_the_door(request.machine));
  TRY(console.serve(machine->loop(), os::Fd(kConsoleListener),
                    [&](std::span<const std::byte> typed) { return machine->console_input(typed); }));
  cell = std::make_unique<ManagedCell>(*machine);
  const auto begun = cell->begin(request);
  const auto outcome = begun.ok() ? machine->run() : Result<machine::Outcome>(begun.failure());
  console.finish();
  const ExitStatus status = outcome.ok() ? exit_status_of(outcome->end) : kHostFailed;
  cell->end(status, outcome.ok() ? outcome->reason : outcome.failure().message);
  if (!outcome.ok()) return outcome.failure();
  return status;
}

}  // namespace

ExitStatus run_managed_cell(const RunRequest& request) {
  os::ignore_broken_pipes();
  const auto status = run(request);
  return status.ok() ? *status : refuse(kRefused, status.failure());
}

}  // namespace cloister::cell
