// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <string>

namespace cloister {
namespace {

std::atomic<LogLevel> lowest{LogLevel::kInfo};

const char* name_of(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "debug";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kWarning:
      return "warning";
    case LogLevel::kError:
      return "error";
  }
  return "?";
}

}  // namespace

void set_log_level(LogLevel level) { lowest.store(level, std::memory_order_relaxed); }

bool log_enabled(LogLevel level) { return level >= lowest.load(std::memory_order_relaxed); }

void log_line(LogLevel level, std::string_view text) {
  const std::string line = fmt::format("{}: {}: {}\n", program_invocation_short_name, name_of(level), text);
  std::fwrite(line.data(), 1, line.size(), stderr);
}

}  // namespace cloister
