// SPDX-License-Identifier: Apache-2.0
// Parts of a whole, durations and kinds, as people write them.
#include <fmt/format.h>

#include <charconv>

#include "host/settings.h"

namespace cloister::host {
namespace {

using policy::memory::Fraction;
using policy::memory::TaxKind;

constexpr u64 kMillion = Fraction::kWhole;

// Up to six digits after the point; nothing for anything else.
std::optional<u64> millionths(std::string_view text) {
  const std::size_t point = std::min(text.find('.'), text.size());
  const std::string_view whole = text.substr(0, point);
  std::string parts(point < text.size() ? text.substr(point + 1) : "");
  if (whole.size() > 6 || parts.size() > 6 || whole.size() + parts.size() == 0) return std::nullopt;
  parts.resize(6, '0');
  const std::string digits = std::string(whole) + parts;
  if (digits.find_first_not_of("0123456789") != digits.npos) return std::nullopt;
  u64 value = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), value);
  return value;
}

struct DurationUnit {
  std::string_view name;
  u64 nanos;
};
constexpr DurationUnit kUnits[] = {
    {"min", 60'000'000'000}, {"s", 1'000'000'000}, {"ms", 1'000'000}, {"us", 1'000}, {"ns", 1}};

}  // namespace

Result<Fraction> parse_fraction(std::string_view text, Fraction most) {
  std::string_view digits = text;
  const bool percent = digits.ends_with('%');
  if (percent) digits.remove_suffix(1);
  auto value = millionths(digits);
  // A bare number over 1 can only be meant as per cent.
  if (value && (percent || *value > kMillion)) *value /= 100;
  if (!value || *value > most.raw) {
    return error("'{}' is not a part from 0 to {}; write for example 0.75 or 75%", text,
                 format_fraction(most));
  }
  return Fraction{static_cast<u32>(*value)};
}

std::string format_fraction(Fraction fraction) {
  std::string text =
      fmt::format("{}.{:06}", fraction.raw / Fraction::kWhole, fraction.raw % Fraction::kWhole);
  while (text.ends_with('0')) text.pop_back();
  if (text.ends_with('.')) text.pop_back();
  return text;
}

Result<TaxKind> parse_tax_kind(std::string_view text) {
  for (const TaxKind kind : {TaxKind::kFlat, TaxKind::kProgressive, TaxKind::kByTime}) {
    if (text == name_of(kind)) return kind;
  }
  return error("idle-tax-kind '{}' is not known; choose flat, progressive or by-time", text);
}

std::string_view name_of(TaxKind kind) {
  switch (kind) {
    case TaxKind::kFlat:
      return "flat";
    case TaxKind::kProgressive:
      return "progressive";
    case TaxKind::kByTime:
      return "by-time";
  }
  return "";
}

Result<Nanos> parse_duration(std::string_view text) {
  const std::size_t unit_at = std::min(text.find_first_not_of("0123456789"), text.size());
  u64 number = 0;
  const auto [stop, status] = std::from_chars(text.data(), text.data() + unit_at, number);
  u64 unit = text.size() == unit_at ? 1'000'000'000 : 0;
  for (const DurationUnit& one : kUnits) {
    if (text.substr(unit_at) == one.name) unit = one.nanos;
  }
  if (unit_at == 0 || status != std::errc() || unit == 0 || number > ~u64{0} / unit) {
    return error("'{}' is not a time; write for example 30s, 500ms or 2min", text);
  }
  return Nanos{number * unit};
}

std::string format_duration(Nanos duration) {
  for (const DurationUnit& unit : kUnits) {
    if (duration.raw >= unit.nanos && duration.raw % unit.nanos == 0) {
      return fmt::format("{}{}", duration.raw / unit.nanos, unit.name);
    }
  }
  return "0s";
}

}  // namespace cloister::host
