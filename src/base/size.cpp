// SPDX-License-Identifier: Apache-2.0
#include "base/size.h"

#include <charconv>
#include <iterator>

namespace cloister {
namespace {

struct Unit {
  char letter;
  int shift;
  const char* name;
};
constexpr Unit kUnits[] = {{'T', 40, "TiB"}, {'G', 30, "GiB"}, {'M', 20, "MiB"}, {'K', 10, "KiB"}};

// The shift of "", "B", "K", "KiB", …, or -1.
int shift_of(std::string_view suffix) {
  if (suffix.empty() || suffix == "B") return 0;
  for (const Unit& unit : kUnits) {
    const bool letter = suffix[0] == unit.letter || suffix[0] == unit.letter - 'A' + 'a';
    if (letter && (suffix.size() == 1 || suffix.substr(1) == "iB")) return unit.shift;
  }
  return -1;
}

}  // namespace

Result<Bytes> parse_size(std::string_view text) {
  u64 number = 0;
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), number);
  std::string_view suffix = text.substr(static_cast<std::size_t>(end - text.data()));
  if (suffix.starts_with(' ')) suffix.remove_prefix(1);
  const int shift = shift_of(suffix);
  if (status == std::errc::invalid_argument || shift < 0) {
    return error("size '{}' is not a whole number with KiB, MiB, GiB or TiB, such as 512MiB", text);
  }
  if (status != std::errc() || number > (~u64{0} >> shift)) {
    return error("size '{}' does not fit 64 bits; the largest is 16777215TiB", text);
  }
  return Bytes{number << shift};
}

Result<u64> parse_number(std::string_view what, std::string_view text, u64 least, u64 most) {
  u64 number = 0;
  const char* end = text.data() + text.size();
  const auto [stop, status] = std::from_chars(text.data(), end, number);
  if (status != std::errc() || stop != end || number < least || number > most) {
    return error("{} '{}' is not a whole number from {} to {}", what, text, least, most);
  }
  return number;
}

std::string format_size(Bytes size) {
  for (const Unit& unit : kUnits) {
    if (size.raw != 0 && size.raw % (u64{1} << unit.shift) == 0) {
      return fmt::format("{} {}", size.raw >> unit.shift, unit.name);
    }
  }
  return fmt::format("{} bytes", size.raw);
}

}  // namespace cloister
