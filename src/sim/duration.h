// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "base/units.h"

namespace cloister::sim {

constexpr Nanos milliseconds(u64 count) { return {count * 1'000'000}; }
constexpr Nanos seconds(u64 count) { return milliseconds(count * 1000); }
constexpr Nanos minutes(u64 count) { return seconds(count * 60); }
constexpr Nanos hours(u64 count) { return minutes(count * 60); }

// "500ms", "30s", "10m", "2h", "7d": a whole number and a unit. Refuses anything else, and over a year,
// naming `text`.
Result<Nanos> parse_duration(std::string_view text);
// The largest unit that leaves a whole number: "90s", "2h".
std::string format_duration(Nanos duration);
// "1:05:30", without the part of a second.
std::string clock_time(Nanos when);

}  // namespace cloister::sim
