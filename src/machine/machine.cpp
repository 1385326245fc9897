// SPDX-License-Identifier: Apache-2.0
#include "machine/machine.h"

#include <fmt/format.h>

#include <atomic>

#include "base/check.h"
#include "base/os/clock.h"
#include "base/os/file.h"
#include "base/os/host_memory.h"
#include "base/os/thread.h"
#include "base/size.h"
#include "device/virtio/vsock/vsock.h"
#include "machine/board.h"
#include "machine/digest.h"
#include "machine/profile.h"
#include "machine/run_deterministic.h"
#include "machine/run_parallel.h"
#include "machine/run_verified.h"

namespace cloister::machine {
namespace {

const char* reason_of(PowerEvent event) {
  switch (event) {
    case PowerEvent::kNone:
      break;
    case PowerEvent::kPowerOff:
      return "the guest switched the machine off";
    case PowerEvent::kFailure:
      return "the guest switched the machine off and reported a system failure";
    case PowerEvent::kReboot:
      return "the guest asked for a restart";
    case PowerEvent::kFailureReboot:
      return "the guest asked for a restart and reported a system failure";
    case PowerEvent::kHalted:
      return "the guest halted: no hart can ever run again";
    case PowerEvent::kStop:
      return "the machine was stopped from outside";
  }
  return "";
}

End end_of(PowerEvent event) {
  switch (event) {
    case PowerEvent::kFailure:
    case PowerEvent::kFailureReboot:
      return End::kFailure;
    case PowerEvent::kReboot:
      return End::kReboot;
    case PowerEvent::kHalted:
      return End::kHalted;
    case PowerEvent::kStop:
      return End::kStopped;
    case PowerEvent::kNone:
    case PowerEvent::kPowerOff:
      break;
  }
  return End::kPowerOff;
}

bool restarts(PowerEvent event, OnReboot on_reboot) {
  return on_reboot == OnReboot::kRestart &&
         (event == PowerEvent::kReboot || event == PowerEvent::kFailureReboot);
}

// A guest's kernel describes each page in 64 bytes before its first program runs. Bound: at 16 times the
// host's memory that alone would be a quarter of it.
constexpr u64 kMostOvercommit = 16;

Result<void> check_against_host(Bytes memory) {
  const Bytes most{os::host_memory().raw * kMostOvercommit / kGiB * kGiB};
  if (memory <= most) return {};
  return error("a memory of {} is more than {} times this host's: ask for {} at most", format_size(memory),
               kMostOvercommit, format_size(most));
}

Result<Symbols> symbols_of(const MachineConfig& config) {
  // Bound: a kernel's symbols are some 10 MiB.
  constexpr Bytes kMostSymbols{256 * kMiB};
  if (config.symbols.empty()) return Symbols();
  return Symbols(TRY(os::read_text_file(config.symbols, kMostSymbols)));
}

class NoConsole final : public device::ConsoleSink {
 public:
  void write(std::span<const std::byte>) override {}
};

// The machine that another is compared with: the same, on the interpreter. It writes to disks of its own.
MachineConfig reference_of(MachineConfig config) {
  config.engine = Engine::kInterpreter;
  config.verify = false;
  for (DiskConfig& disk : config.disks) {
    if (!disk.overlay.empty()) disk.overlay += ".reference";
  }
  return config;
}

struct Reference {
  explicit Reference(const MachineConfig& config) : random(config.deterministic.value_or(0)) {}

  NoConsole console;
  VirtualClock clock;
  Random random;
  std::unique_ptr<Board> board;
};

}  // namespace

struct Machine::State {
  explicit State(const MachineConfig& config_)
      : config(config_), random(config_.deterministic.value_or(0)), reference(config_) {}

  Clock& clock() { return config.deterministic ? static_cast<Clock&>(virtual_clock) : host_clock; }
  Result<void> run_once();
  Result<PowerEvent> run_to_the_end();

  const MachineConfig config;
  HostClock host_clock;
  VirtualClock virtual_clock;
  Random random;
  std::unique_ptr<Board> board;
  Reference reference;
  std::string difference;  // from the reference machine, when that is wanted and there is one
  std::atomic<u32> reboots{0};
  std::atomic<u64> started{0};  // monotonic, at run()
  std::atomic<u64> ended{0};    // at its end
};

Result<void> Machine::State::run_once() {
  TRY(board->power_on());
  if (config.verify) {
    TRY(reference.board->power_on());
    difference =
        run_verified({*board, virtual_clock, random}, {*reference.board, reference.clock, reference.random});
    reference.board->power_off();
    if (!difference.empty()) board->end(PowerEvent::kFailure);
  } else if (config.deterministic) {
    run_deterministic(*board, virtual_clock, random);
  } else {
    TRY(run_parallel(*board));
  }
  return {};
}

Result<PowerEvent> Machine::State::run_to_the_end() {
  for (;;) {
    const auto ran = run_once();
    board->power_off();
    if (!ran.ok()) return ran.failure();
    const PowerEvent event = board->power().event();
    if (!restarts(event, config.on_reboot)) return event;
    ++reboots;
  }
}

Machine::Machine(std::unique_ptr<State> state) : state_(std::move(state)) {}
Machine::~Machine() = default;

Result<std::unique_ptr<Machine>> Machine::create(const MachineConfig& config, device::ConsoleSink& console) {
  TRY(check_against_host(config.memory));
  auto state = std::make_unique<State>(config);
  state->board = TRY(Board::create(config, console, state->clock()));
  if (config.verify) {
    Reference& reference = state->reference;
    reference.board = TRY(Board::create(reference_of(config), reference.console, reference.clock));
  }
  return std::unique_ptr<Machine>(new Machine(std::move(state)));
}

Result<Outcome> Machine::run() {
  State& state = *state_;
  CHECK(state.started == 0);
  state.started = os::monotonic_now().raw;
  os::Thread events = TRY(os::Thread::start("events", [&state] { state.board->loop().run(); }));
  const auto event = state.run_to_the_end();
  state.board->loop().stop();
  events.join();
  state.ended = os::monotonic_now().raw;
  if (!event.ok()) return event.failure();
  if (!state.difference.empty()) {
    const std::string reason = "the translator and the interpreter differ\n" + state.difference;
    return Outcome{End::kFailure, reason, state.reboots};
  }
  return Outcome{end_of(*event), reason_of(*event), state.reboots};
}

void Machine::request_stop() { state_->board->stop(); }

void Machine::set_paused(bool paused) {
  state_->board->power().set_paused(paused);
  state_->board->harts().request_exit();
}

std::size_t Machine::console_input(std::span<const std::byte> bytes) {
  if (state_->config.verify) return bytes.size();
  return state_->board->console().offer(bytes);
}

os::EventLoop& Machine::loop() { return state_->board->loop(); }
memory::GuestMemory& Machine::memory() { return state_->board->memory(); }
device::virtio::Balloon* Machine::balloon() { return state_->board->peripherals().balloon(); }
Pages Machine::balloon_pages_written() const { return state_->board->peripherals().balloon_pages_written(); }
Pages Machine::balloon_pages_elided() const { return state_->board->peripherals().balloon_pages_elided(); }
u64 Machine::ticks() { return state_->clock().ticks(); }

bool Machine::serve_port(u32 port, std::function<void(os::UnixStream)> accepted) {
  auto* vsock = state_->board->peripherals().vsock();
  if (vsock == nullptr) return false;
  vsock->serve(port, std::move(accepted));
  if (port == CLOISTER_PORT_CONDITION && state_->config.condition_calls)
    state_->board->hypercall().offer_wait(true);
  return true;
}

Statistics Machine::statistics() const {
  const State& state = *state_;
  Statistics statistics;
  const Harts& harts = state.board->harts();
  for (u32 id = 0; id < harts.count(); ++id) {
    const HartSlot& slot = harts[id];
    statistics.harts.push_back({id, slot.hart.instructions_published(), Nanos{slot.running}, slot.waits});
  }
  const u64 end = state.ended != 0 ? state.ended.load() : os::monotonic_now().raw;
  statistics.wall = Nanos{state.started == 0 ? 0 : end - state.started};
  statistics.memory = state.board->memory().usage();
  statistics.reboots = state.reboots;
  return statistics;
}

Nanos Machine::run_time() const {
  const Harts& harts = state_->board->harts();
  Nanos sum;
  for (u32 id = 0; id < harts.count(); ++id) sum += Nanos{harts[id].running};
  return sum;
}

Result<std::string> Machine::profile() const {
  const State& state = *state_;
  const Symbols symbols = TRY(symbols_of(state.config));
  Profile profile;
  const Harts& harts = state.board->harts();
  for (u32 id = 0; id < harts.count(); ++id) {
    const HartSlot& slot = harts[id];
    profile.add(slot.samples, symbols);
    profile.add(slot.hart.tally());
    if (slot.translator == nullptr) continue;
    profile.add(slot.translator->footprints(), symbols);
    for (const auto& figure : slot.translator->figures()) profile.add(figure.what, figure.count);
  }
  return profile.text();
}

Result<std::string> Machine::perf_map() const {
  const State& state = *state_;
  const Symbols symbols = TRY(symbols_of(state.config));
  std::string text;
  const Harts& harts = state.board->harts();
  for (u32 id = 0; id < harts.count(); ++id) {
    if (harts[id].translator == nullptr) continue;
    for (const auto& piece : harts[id].translator->pieces()) {
      text += fmt::format("{:x} {:x} guest {}\n", reinterpret_cast<u64>(piece.code.data()), piece.code.size(),
                          symbols.name_of(piece.pc));
    }
  }
  return text;
}

u64 Machine::memory_digest() { return digest(state_->board->memory()); }

}  // namespace cloister::machine
