// SPDX-License-Identifier: Apache-2.0
#include "agent/limits.h"

#include <algorithm>
#include <cstdlib>

#include "lib/figures.h"

namespace cloister::agent {
namespace {

constexpr std::uint64_t kMargin = 8 << 20;

// "max", or a file that is not there, is no limit.
std::uint64_t limit_in(const std::string& path) {
  char text[64];
  guest::read_text(path.c_str(), text, sizeof text);
  return text[0] >= '0' && text[0] <= '9' ? std::strtoull(text, nullptr, 10) : UINT64_MAX;
}

std::uint64_t room_in(const std::string& folder) {
  const std::uint64_t limit = std::min(limit_in(folder + "/memory.max"), limit_in(folder + "/memory.high"));
  if (limit == UINT64_MAX) return limit;
  const std::uint64_t used = limit_in(folder + "/memory.current");
  if (used == UINT64_MAX) return limit;
  return limit > used + kMargin ? limit - used - kMargin : 0;
}

}  // namespace

std::uint64_t room_in_groups(const std::string& membership, const std::string& root) {
  const std::size_t line = membership.find("0::");
  if (line == std::string::npos || (line != 0 && membership[line - 1] != '\n')) return UINT64_MAX;
  std::string path = membership.substr(line + 3);
  path = path.substr(0, path.find('\n'));
  std::uint64_t room = UINT64_MAX;
  while (path.size() > 1) {
    room = std::min(room, room_in(root + path));
    path.resize(path.rfind('/') == std::string::npos ? 0 : path.rfind('/'));
  }
  return room;
}

std::uint64_t room_in_groups() {
  char text[4096];
  guest::read_text("/proc/self/cgroup", text, sizeof text);
  return room_in_groups(text, "/sys/fs/cgroup");
}

}  // namespace cloister::agent
