// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/options.h"

namespace cloister::agent {

// Where a program listens: a unix socket's path, or a numeric address and a port.
struct Place {
  std::string path;
  std::string host;
  std::uint16_t port = 0;
};

enum class ProgramKind { kRedis, kMemcached, kJvm, kGroup, kHook };

// One program with a knob, as the configuration names it. What its kind does not use stays empty.
struct ProgramSettings {
  ProgramKind kind = ProgramKind::kHook;
  std::string name;                  // its section's: "valkey cache"
  Place place;                       // redis, memcached
  std::string user, password;        // redis
  std::string pid_file;              // jvm
  std::string path;                  // cgroup
  std::vector<std::string> command;  // hook
  std::uint64_t floor = 0;           // bytes it keeps in any case
  std::uint64_t ceiling = 0;         // bytes it may have; 0: what it was set to when it was seen first
  std::uint64_t weight = 1;          // how much of what is asked for falls to it
  bool collect = false;              // jvm: collect garbage after each cut
};

struct BridgeSettings {
  std::string folder;             // for the sockets; empty: where the user's or the system's are
  std::uint64_t repeat = 10'000;  // milliseconds between two notices to a program while memory is wanted
  std::uint64_t spread = 250;     // milliseconds from one program's turn to the next
  bool balloon = true;  // a balloon takes what is free in the guest: programs are not asked for that
  std::vector<ProgramSettings> programs;
};

// Reads a configuration into both; false, and what is wrong, with the file's name and the line in front.
// Flags are read after it, so that they win.
bool read_config(std::string_view text, const std::string& file, Options& options, BridgeSettings& bridge,
                 std::string& why);

// "64MiB", "2GiB", "4096": bytes. "250ms", "10s": milliseconds.
std::optional<std::uint64_t> read_size(std::string_view text);
std::optional<std::uint64_t> read_duration(std::string_view text);
// "/run/redis.sock", "127.0.0.1:6379", "[::1]:6379", "localhost:6379".
std::optional<Place> read_place(const std::string& text);

}  // namespace cloister::agent
