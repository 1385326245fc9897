// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>

#include <string_view>
#include <utility>

namespace cloister {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

// The level below which nothing is written. Default: kInfo. Any thread.
void set_log_level(LogLevel level);
bool log_enabled(LogLevel level);

// Writes one whole line to standard error: "cloister-cell: warning: …". Any thread.
void log_line(LogLevel level, std::string_view text);

// For events that a person should hear of, never on a hot path and never once per guest action:
// a guest must not be able to fill the host's log.
template <typename... Args>
void log(LogLevel level, fmt::format_string<Args...> format, Args&&... args) {
  if (log_enabled(level)) log_line(level, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace cloister
