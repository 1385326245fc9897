// SPDX-License-Identifier: Apache-2.0
#include "sim/duration.h"

#include <charconv>

namespace cloister::sim {
namespace {

struct Unit {
  std::string_view name;
  Nanos length;
};
constexpr Unit kUnits[] = {
    {"d", hours(24)}, {"h", hours(1)}, {"m", minutes(1)}, {"s", seconds(1)}, {"ms", milliseconds(1)}};
constexpr Nanos kYear = hours(24 * 365);

}  // namespace

Result<Nanos> parse_duration(std::string_view text) {
  u64 number = 0;
  const auto [stop, status] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string_view name = text.substr(static_cast<std::size_t>(stop - text.data()));
  for (const Unit& unit : kUnits) {
    if (status == std::errc() && name == unit.name && number <= kYear.raw / unit.length.raw)
      return Nanos{number * unit.length.raw};
  }
  return error("'{}' is not a time; write a whole number and ms, s, m, h or d, as 30s (at most 365d)", text);
}

std::string format_duration(Nanos duration) {
  for (const Unit& unit : kUnits) {
    if (duration.raw > 0 && duration.raw % unit.length.raw == 0)
      return fmt::format("{}{}", duration.raw / unit.length.raw, unit.name);
  }
  return fmt::format("{}ms", duration.raw / milliseconds(1).raw);
}

std::string clock_time(Nanos when) {
  const u64 total = when.raw / seconds(1).raw;
  return fmt::format("{}:{:02}:{:02}", total / 3600, total / 60 % 60, total % 60);
}

}  // namespace cloister::sim
