// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/os/event_loop.h"
#include "base/os/unix_socket.h"
#include "base/result.h"
#include "base/units.h"
#include "device/console_sink.h"
#include "device/virtio/balloon/balloon.h"
#include "machine/config.h"
#include "memory/guest_memory.h"

namespace cloister::machine {

// How a guest ended.
enum class End {
  kPowerOff,  // it switched itself off
  kFailure,   // it switched itself off for a system failure, or would have restarted for one
  kReboot,    // it asked for a restart, and OnReboot::kStop was configured
  kHalted,   // nothing can ever happen again: every hart has stopped itself (deterministic mode: or waits for
             // ever)
  kStopped,  // request_stop()
};

struct Outcome {
  End end = End::kPowerOff;
  std::string reason;  // one line for a person
  u32 reboots = 0;     // restarts before the end
};

struct HartStatistics {
  u32 id = 0;
  u64 instructions = 0;  // since the machine was made, over all restarts
  Nanos running;         // wall time in guest code and the exits from it; nanoseconds
  u64 waits = 0;         // times that it slept in WFI or a suspend
};

struct Statistics {
  std::vector<HartStatistics> harts;
  Nanos wall;  // since run(), to its end; host time
  memory::Usage memory;
  u32 reboots = 0;
};

// One virtual machine: memory, harts, devices, and the SBI under them.
//
// Threads: run() keeps the caller until the guest ends; meanwhile there is one thread for each hart, one for
// the event loop, and those of the devices. In deterministic mode the harts share the caller's thread.
// All but run() may be called from any thread.
class Machine {
 public:
  // Opens and checks all that the configuration names, so that nothing but memory shortage can go wrong
  // later. `console` takes what the guest prints and outlives the machine. Errors name the thing, the value
  // and the remedy.
  static Result<std::unique_ptr<Machine>> create(const MachineConfig& config, device::ConsoleSink& console);
  ~Machine();

  // Powers on and runs the guest, through its restarts, to its end. Once only.
  Result<Outcome> run();
  // Makes run() return soon with End::kStopped, whatever the guest does; before run(), at once.
  void request_stop();

  // The harts stand still, or go on; the guest's clock runs on. Not in deterministic mode.
  void set_paused(bool paused);

  // Typed by a person: bytes for the guest's console. Returns how many were taken; the rest finds no room
  // until the guest reads (Bound: 64 KiB wait). In deterministic mode only what comes before run() is
  // repeatable.
  std::size_t console_input(std::span<const std::byte> bytes);

  // The loop of the devices' host side: runs from the start of run() to its end, then watches nothing more.
  // Others may post() to it and, before run() or on its thread, watch() descriptors.
  os::EventLoop& loop();
  memory::GuestMemory& memory();

  // Programs of the guest that connect to this vsock port of the host come to `accepted`, which may only pass
  // the socket on. False: the machine has no vsock device. Before run(), once for each port.
  bool serve_port(u32 port, std::function<void(os::UnixStream)> accepted);
  // virtio's memory balloon; null: not configured. Its host side is for any thread.
  device::virtio::Balloon* balloon();
  // Pages of the balloon value that the guest wrote to its disks, ever.
  Pages balloon_pages_written() const;
  Pages balloon_pages_elided() const;  // of these, that take no space there
  u64 ticks();                         // the guest's `time` CSR; not in deterministic mode

  Statistics statistics() const;
  Nanos run_time() const;  // of all harts together, as in their statistics
  // Where the guest spent its time, for people, when the configuration asked for it. Refused: no symbols
  // where it named some. Precondition: run() is not under way.
  Result<std::string> profile() const;
  // Where translated code lies, in the form of perf's maps: address, size, name. Refused: as profile().
  // Precondition: run() is not under way.
  Result<std::string> perf_map() const;
  // XXH3 over all of the guest's memory; two deterministic runs of one seed end with the same.
  // Precondition: run() is not under way.
  u64 memory_digest();

 private:
  struct State;
  explicit Machine(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace cloister::machine
