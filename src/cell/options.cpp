// SPDX-License-Identifier: Apache-2.0
#include "cell/options.h"

#include <algorithm>
#include <vector>

#include "base/size.h"

namespace cloister::cell {
namespace {

using machine::MachineConfig;

// Splits "a,b=c" at its commas: {"a", ""}, {"b", "c"}. A word without '=' has an empty value.
struct Word {
  std::string_view key;
  std::string_view value;
};
std::vector<Word> split_words(std::string_view text) {
  std::vector<Word> words;
  while (!text.empty()) {
    const std::string_view word = text.substr(0, text.find(','));
    text.remove_prefix(std::min(text.size(), word.size() + 1));
    const std::size_t equals = word.find('=');
    if (equals == std::string_view::npos) {
      words.push_back({word, {}});
    } else {
      words.push_back({word.substr(0, equals), word.substr(equals + 1)});
    }
  }
  return words;
}

Result<void> set_name(MachineConfig& config, std::string_view text) {
  const bool plain = text.find_first_not_of(
                         "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == text.npos;
  if (text.empty() || text.size() > 64 || !plain) {
    return error("name '{}' is not 1 to 64 letters, digits, '-', '_' or '.'", text);
  }
  config.name = text;
  return {};
}

Result<void> set_cpus(MachineConfig& config, std::string_view text) {
  config.cpus = static_cast<u32>(TRY(parse_number("cpus", text, 1, machine::kMaxCpus)));
  return {};
}

Result<void> set_memory(MachineConfig& config, std::string_view text) {
  config.memory = TRY(parse_size(text));
  if (config.memory.raw == 0 || config.memory.raw % kPageSize != 0) {
    return error("memory '{}' is not a multiple of the page, 4 KiB; write for example 512MiB", text);
  }
  return {};
}

template <std::string MachineConfig::*member>
Result<void> set_text(MachineConfig& config, std::string_view text) {
  config.*member = text;
  return {};
}

Result<void> set_disk(MachineConfig& config, std::string_view text) {
  machine::DiskConfig disk;
  disk.path = text.substr(0, text.find(','));
  if (disk.path.find('=') != disk.path.npos) disk.path.clear();  // "overlay=…" where the file should be
  for (const Word& word : split_words(text.substr(std::min(text.size(), disk.path.size())))) {
    if (word.key.empty() && word.value.empty()) continue;
    if (word.key == "overlay" && !word.value.empty()) {
      disk.overlay = word.value;
    } else if (word.key == "readonly" && word.value.empty()) {
      disk.read_only = true;
    } else {
      return error("disk '{}': '{}' is not known; write FILE[,overlay=FILE][,readonly]", text, word.key);
    }
  }
  if (disk.path.empty()) return error("disk '{}' names no file; write FILE[,overlay=FILE][,readonly]", text);
  if (disk.read_only && !disk.overlay.empty()) {
    return error("disk '{}' is read-only and has an overlay to write to; choose one", text);
  }
  config.disks.push_back(disk);
  return {};
}

// "tcp:127.0.0.1:2222:22", "udp::5353:53" (all host addresses).
Result<machine::Forward> parse_forward(std::string_view text) {
  constexpr const char* kForm = "write tcp|udp:[HOST-ADDRESS]:HOST-PORT:GUEST-PORT, as tcp:127.0.0.1:2222:22";
  std::vector<std::string_view> fields;
  for (std::string_view rest = text;;) {
    const std::size_t colon = rest.find(':');
    fields.push_back(rest.substr(0, colon));
    if (colon == rest.npos) break;
    rest.remove_prefix(colon + 1);
  }
  if (fields.size() != 4 || (fields[0] != "tcp" && fields[0] != "udp")) {
    return error("forward '{}' is not understood; {}", text, kForm);
  }
  machine::Forward forward;
  forward.udp = fields[0] == "udp";
  forward.host_address = fields[1].empty() ? "0.0.0.0" : fields[1];
  forward.host_port = static_cast<u16>(TRY(parse_number("forward's host port", fields[2], 1, 65535)));
  forward.guest_port = static_cast<u16>(TRY(parse_number("forward's guest port", fields[3], 1, 65535)));
  return forward;
}

Result<void> set_net(MachineConfig& config, std::string_view text) {
  machine::NetConfig net;
  for (const Word& word : split_words(text)) {
    if (word.key == "user" && word.value.empty()) continue;
    if (word.key != "forward") {
      return error("net '{}': '{}' is not known; write user[,forward=tcp:127.0.0.1:2222:22]…", text,
                   word.key);
    }
    net.forwards.push_back(TRY(parse_forward(word.value)));
  }
  config.net = net;
  return {};
}

Result<void> set_share(MachineConfig& config, std::string_view text) {
  machine::ShareConfig share;
  for (const Word& word : split_words(text)) {
    if (word.key == "tag" && !word.value.empty()) {
      share.tag = word.value;
    } else if (word.key == "path" && !word.value.empty()) {
      share.path = word.value;
    } else if (word.key == "readonly" && word.value.empty()) {
      share.read_only = true;
    } else {
      return error("share '{}': '{}' is not known; write tag=NAME,path=FOLDER[,readonly]", text, word.key);
    }
  }
  if (share.tag.empty() || share.path.empty()) {
    return error("share '{}' lacks its tag or its path; write tag=NAME,path=FOLDER[,readonly]", text);
  }
  for (const machine::ShareConfig& other : config.shares) {
    if (other.tag == share.tag) return error("share tag '{}' is given twice; choose another", share.tag);
  }
  config.shares.push_back(share);
  return {};
}

Result<void> set_balloon_device(MachineConfig& config, std::string_view text) {
  if (text != "yes" && text != "no") return error("balloon-device '{}' is not known; choose yes or no", text);
  config.balloon = text == "yes";
  return {};
}

Result<void> set_cooperation(MachineConfig& config, std::string_view text) {
  if (text != "all" && text != "balloon" && text != "condition" && text != "none")
    return error("cooperation '{}' is not known; choose all, balloon, condition or none", text);
  config.balloon_calls = text == "all" || text == "balloon";
  config.condition_calls = text == "all" || text == "condition";
  return {};
}

Result<void> set_console(MachineConfig& config, std::string_view text) {
  if (text != "uart" && text != "virtio")
    return error("console '{}' is not known; choose uart or virtio", text);
  config.console = text == "uart" ? machine::ConsoleKind::kUart : machine::ConsoleKind::kVirtio;
  return {};
}

Result<void> set_engine(MachineConfig& config, std::string_view text) {
  if (text != "jit" && text != "interp") return error("engine '{}' is not known; choose jit or interp", text);
  config.engine = text == "jit" ? machine::Engine::kTranslator : machine::Engine::kInterpreter;
  return {};
}

Result<void> set_on_reboot(MachineConfig& config, std::string_view text) {
  if (text != "restart" && text != "stop")
    return error("on-reboot '{}' is not known; choose restart or stop", text);
  config.on_reboot = text == "restart" ? machine::OnReboot::kRestart : machine::OnReboot::kStop;
  return {};
}

Result<void> set_deterministic(MachineConfig& config, std::string_view text) {
  config.deterministic = TRY(parse_number("deterministic seed", text, 0, ~u64{0}));
  return {};
}

Result<void> set_verify(MachineConfig& config, std::string_view text) {
  if (text != "yes" && text != "no") return error("verify '{}' is not known; choose yes or no", text);
  config.verify = text == "yes";
  return {};
}

Result<void> set_perf_map(MachineConfig& config, std::string_view text) {
  if (text != "yes" && text != "no") return error("perf-map '{}' is not known; choose yes or no", text);
  config.perf_map = text == "yes";
  return {};
}

Result<void> set_stress(MachineConfig& config, std::string_view text) {
  for (const Word& word : split_words(text)) {
    bool* const what = word.key == "tlb"          ? &config.stress.tlb
                       : word.key == "code"       ? &config.stress.code
                       : word.key == "shootdowns" ? &config.stress.shootdowns
                       : word.key == "slices"     ? &config.stress.slices
                                                  : nullptr;
    if (what == nullptr || !word.value.empty())
      return error("stress '{}' is not known; choose of tlb, code, shootdowns and slices", word.key);
    *what = true;
  }
  return {};
}

constexpr Option kOptions[] = {
    {"name", "NAME", "what the machine is called", false, nullptr, set_name},
    {"cpus", "N", "virtual CPUs (harts), 1 to 64; default 1", false, nullptr, set_cpus},
    {"memory", "SIZE", "guest memory, as 512MiB or 2GiB; default 512MiB", false, nullptr, set_memory},
    {"kernel", "FILE", "a RISC-V Linux Image, raw or gzip", false, nullptr, set_text<&MachineConfig::kernel>},
    {"initrd", "FILE", "the initial RAM disk", false, nullptr, set_text<&MachineConfig::initrd>},
    {"append", "TEXT", "the kernel's command line", false, nullptr, set_text<&MachineConfig::append>},
    {"disk", "FILE[,overlay=FILE][,readonly]",
     "a raw disk; with an overlay the file itself is only read, and may serve many machines", true, nullptr,
     set_disk},
    {"net", "user[,forward=tcp:HOST:PORT:GUESTPORT]", "a network card with user-mode NAT and forwarded ports",
     false, "user", set_net},
    {"share", "tag=NAME,path=FOLDER[,readonly]", "a host folder, for the guest to mount by 9p", true, nullptr,
     set_share},
    {"vsock", "PREFIX", "guest sockets as unix sockets of the host: PREFIX inward, PREFIX_PORT outward",
     false, nullptr, set_text<&MachineConfig::vsock>},
    {"balloon-device", "yes|no",
     "virtio's memory balloon, for guests without the agent: deflate on OOM, statistics, free page reports; "
     "default no",
     false, "yes", set_balloon_device},
    {"cooperation", "all|balloon|condition|none",
     "what the guest's programs may do about memory: give it up, learn how short it is; default all", false,
     nullptr, set_cooperation},
    {"console", "uart|virtio", "which device the console is; default uart (ttyS0)", false, nullptr,
     set_console},
    {"engine", "jit|interp", "translate what runs often, or only interpret; default jit", false, nullptr,
     set_engine},
    {"on-reboot", "restart|stop", "what a reboot of the guest does; default restart", false, nullptr,
     set_on_reboot},
    {"deterministic", "SEED", "one thread, a virtual clock: two runs with one seed are the same", false,
     nullptr, set_deterministic},
    {"profile", "FILE", "write where the guest spent its time to this file, as a table for people", false,
     nullptr, set_text<&MachineConfig::profile>},
    {"symbols", "FILE", "names for the profile: System.map or /proc/kallsyms; behind it, nm's of a program",
     false, nullptr, set_text<&MachineConfig::symbols>},
    {"perf-map", "yes|no",
     "at the end write where translated code lies to /tmp/perf-PID.map, which perf reads; default no", false,
     "yes", set_perf_map},
    {"stress", "tlb,code,shootdowns,slices",
     "for tests of the translator: tiny soft TLBs, a tiny code cache, pages shot down all the time, short "
     "turns",
     false, nullptr, set_stress},
    {"verify", "yes|no",
     "with --deterministic: run the interpreter beside the translator, and stop where they differ", false,
     "yes", set_verify},
};

}  // namespace

std::span<const Option> options() { return kOptions; }

}  // namespace cloister::cell
