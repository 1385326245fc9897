// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/units.h"

namespace cloister::machine {

// A disk: a raw file. With an overlay, `path` is only read, by any number of machines at once, and what the
// guest writes goes to the private overlay file (made when missing).
struct DiskConfig {
  std::string path;
  std::string overlay;  // empty: none
  bool read_only = false;
};

struct Forward {  // host_address:host_port -> guest_port
  bool udp = false;
  std::string host_address = "127.0.0.1";
  u16 host_port = 0;
  u16 guest_port = 0;
};

struct NetConfig {  // one user-mode network card
  std::vector<Forward> forwards;
};

struct ShareConfig {  // a host folder, shown to the guest as a 9p mount tag
  std::string tag;
  std::string path;
  bool read_only = false;
};

enum class ConsoleKind { kUart, kVirtio };

enum class Engine { kInterpreter, kTranslator };
enum class OnReboot { kRestart, kStop };

// How a machine is made hard for its translator, for tests.
struct Stress {
  bool tlb = false;         // soft TLBs of four entries
  bool code = false;        // 256 KiB for a hart's translated code, and for its decoded: both are always full
  bool shootdowns = false;  // after each slice of a hart, pages anywhere are shot down
  bool slices = false;      // deterministic mode: turns of few instructions
};

// One machine, as asked for. Defaults are `cloister run`'s.
struct MachineConfig {
  std::string name = "cell";
  u32 cpus = 1;  // 1..64
  Bytes memory{512 * kMiB};
  std::string kernel;  // an Image, raw or gzip
  std::string initrd;  // empty: none
  std::string append;
  std::vector<DiskConfig> disks;
  std::optional<NetConfig> net;
  std::vector<ShareConfig> shares;
  bool balloon = false;         // virtio's memory balloon: for guests without the balloon application
  bool balloon_calls = true;    // programs of the guest may give up memory
  bool condition_calls = true;  // and learn the machine's memory condition
  std::string vsock;            // path prefix of the unix sockets; empty: no vsock device, but for a listener
  std::optional<int> vsock_listener;  // a listening socket, which the device will own
  ConsoleKind console = ConsoleKind::kUart;
  OnReboot on_reboot = OnReboot::kRestart;  // what a restart asked for by the guest does
  Engine engine = Engine::kTranslator;
  std::optional<u64> deterministic;  // the seed
  // A second machine on the interpreter goes the same way in lockstep; the first difference ends both with
  // End::kFailure. Needs the translator, deterministic mode and disks that are not written in place. What is
  // typed is dropped.
  bool verify = false;
  std::string profile;    // a file for where the guest spent its time; empty: none
  std::string symbols;    // names for it, as System.map has them; empty: none
  bool perf_map = false;  // at the end /tmp/perf-PID.map says where translated code lies
  Stress stress;
};

inline constexpr u32 kMaxCpus = 64;

// What can be told without opening anything: counts, sizes, and what deterministic mode excludes.
Result<void> check_config(const MachineConfig& config);

}  // namespace cloister::machine
