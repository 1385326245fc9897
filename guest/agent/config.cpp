// SPDX-License-Identifier: Apache-2.0
#include "agent/config.h"

#include <charconv>
#include <functional>
#include <map>
#include <set>
#include <sstream>

// Lines of three forms: `[kind name]`, `key = value`, and remarks after `#` at a line's beginning. What a
// section may say is a table for each kind; anything else is an error with its line.
namespace cloister::agent {
namespace {

using std::string_view;

string_view trimmed(string_view text) {
  const std::size_t first = text.find_first_not_of(" \t\r");
  if (first == string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

std::optional<std::uint64_t> read_whole(string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// Sets a value from a text, or says what would have been one.
using Setter = std::function<std::string(const std::string&)>;
using Keys = std::map<std::string, Setter>;

template <typename Reader, typename T>
Setter reads(Reader reader, T& out, const char* wanted) {
  return [reader, &out, wanted](const std::string& text) -> std::string {
    const auto value = reader(text);
    if (!value) return wanted;
    out = static_cast<T>(*value);
    return {};
  };
}

Setter size_to(std::uint64_t& out) { return reads(read_size, out, "a size like 64MiB is wanted"); }
Setter duration_to(std::uint64_t& out) {
  return reads(read_duration, out, "a time like 10s or 250ms is wanted");
}
Setter place_to(Place& out) {
  return reads(read_place, out, "a socket's path, or a numeric address and a port, is wanted");
}
Setter text_to(std::string& out) {
  return [&out](const std::string& text) -> std::string {
    out = text;
    return text.empty() ? "a text is wanted" : "";
  };
}
Setter number_to(std::uint64_t& out, std::uint64_t least, std::uint64_t most) {
  return [=, &out](const std::string& text) -> std::string {
    const auto value = read_whole(text);
    if (!value || *value < least || *value > most)
      return "a whole number from " + std::to_string(least) + " to " + std::to_string(most) + " is wanted";
    out = *value;
    return {};
  };
}
Setter percent_to(std::uint64_t& out) {
  return [number = number_to(out, 1, kMostPercent)](const std::string& text) {
    const std::string why = number(text);
    return why.empty() ? why : why + ": the host takes no more of a machine by balloons";
  };
}
Setter word_to(bool& out) {
  return [&out](const std::string& text) -> std::string {
    out = text == "yes";
    return text == "yes" || text == "no" ? "" : "yes or no is wanted";
  };
}
Setter words_to(std::vector<std::string>& out) {
  return [&out](const std::string& text) -> std::string {
    std::istringstream words(text);
    for (std::string word; words >> word;) out.push_back(word);
    return !out.empty() && out[0].starts_with('/') ? ""
                                                   : "a program's full path is wanted, and its arguments";
  };
}

// What the section of a program may say.
Keys keys_of(ProgramSettings& program) {
  Keys keys = {{"weight", number_to(program.weight, 1, 1000)},
               {"floor", size_to(program.floor)},
               {"ceiling", size_to(program.ceiling)}};
  switch (program.kind) {
    case ProgramKind::kRedis:
      keys["user"] = text_to(program.user);
      keys["password"] = text_to(program.password);
      [[fallthrough]];
    case ProgramKind::kMemcached:
      keys["address"] = place_to(program.place);
      break;
    case ProgramKind::kJvm:
      keys["pid-file"] = text_to(program.pid_file);
      keys["collect"] = word_to(program.collect);
      break;
    case ProgramKind::kGroup:
      keys["path"] = text_to(program.path);
      break;
    case ProgramKind::kHook:
      return {{"command", words_to(program.command)}};
  }
  return keys;
}

// What it must say.
const char* needed_key(ProgramKind kind) {
  switch (kind) {
    case ProgramKind::kRedis:
    case ProgramKind::kMemcached:
      return "address";
    case ProgramKind::kJvm:
      return "pid-file";
    case ProgramKind::kGroup:
      return "path";
    default:
      return "command";
  }
}

const std::map<std::string, ProgramKind>& program_kinds() {
  static const std::map<std::string, ProgramKind> kKinds = {
      {"redis", ProgramKind::kRedis}, {"valkey", ProgramKind::kRedis}, {"memcached", ProgramKind::kMemcached},
      {"jvm", ProgramKind::kJvm},     {"cgroup", ProgramKind::kGroup}, {"hook", ProgramKind::kHook}};
  return kKinds;
}

class Reader {
 public:
  Reader(Options& options, BridgeSettings& bridge) : options_(options), bridge_(bridge) {}

  // What is wrong with the line; empty: nothing.
  std::string take(string_view line) {
    line = trimmed(line);
    if (line.empty() || line.starts_with('#')) return {};
    if (line.starts_with('[')) return begin_section(line);
    const std::size_t equals = line.find('=');
    if (equals == string_view::npos) return "neither [section] nor key = value";
    return take_key(std::string(trimmed(line.substr(0, equals))),
                    std::string(trimmed(line.substr(equals + 1))));
  }

  std::string end_section() {
    const bool lacks = !needed_.empty() && !seen_.contains(needed_);
    return lacks ? "section [" + section_ + "] ends without " + needed_ : "";
  }

 private:
  std::string begin_section(string_view line) {
    if (const std::string why = end_section(); !why.empty()) return why;
    if (!line.ends_with(']')) return "a section ends with ]";
    section_ = std::string(trimmed(line.substr(1, line.size() - 2)));
    if (!sections_.insert(section_).second) return "section [" + section_ + "] is there twice";
    seen_.clear();
    needed_.clear();
    if (section_ == "agent") {
      keys_ = {{"parts",
                [this](const std::string& text) {
                  std::string why;
                  return read_parts(text, options_, why) ? "" : why;
                }},
               {"sessions", number_to(options_.sessions, 1, 1024)}};
    } else if (section_ == "balloon") {
      keys_ = {{"most-percent", percent_to(options_.most_percent)}};
    } else if (section_ == "bridge") {
      keys_ = {{"folder", text_to(bridge_.folder)},
               {"repeat", duration_to(bridge_.repeat)},
               {"spread", duration_to(bridge_.spread)}};
    } else {
      return begin_program();
    }
    return {};
  }

  std::string begin_program() {
    const std::size_t space = section_.find(' ');
    const auto kind = program_kinds().find(section_.substr(0, space));
    if (kind == program_kinds().end())
      return "there is no section [" + section_ +
             "]: there are agent, balloon, bridge, and redis, valkey, memcached, jvm, cgroup and hook with a "
             "name";
    if (space == std::string::npos) return "section [" + section_ + "] wants a name: [" + section_ + " NAME]";
    ProgramSettings program;
    program.kind = kind->second;
    program.name = section_;
    if (program.name.find('/') != std::string::npos) return "a name has no slash";
    needed_ = needed_key(program.kind);
    bridge_.programs.push_back(program);
    return {};
  }

  std::string take_key(const std::string& key, const std::string& value) {
    if (section_.empty()) return key + " stands before the first section";
    // A program's keys lead to where it lies now: the list may have moved.
    if (!is_fixed()) keys_ = keys_of(bridge_.programs.back());
    const auto found = keys_.find(key);
    if (found == keys_.end()) {
      std::string known;
      for (const auto& [name, setter] : keys_) known += (known.empty() ? "" : ", ") + name;
      return "[" + section_ + "] has no key " + key + ": it has " + known;
    }
    if (!seen_.insert(key).second) return key + " is there twice";
    const std::string why = found->second(value);
    return why.empty() ? "" : key + " = " + value + ": " + why;
  }

  bool is_fixed() const { return section_ == "agent" || section_ == "balloon" || section_ == "bridge"; }

  Options& options_;
  BridgeSettings& bridge_;
  std::string section_;
  std::string needed_;
  std::set<std::string> sections_;
  std::set<std::string> seen_;
  Keys keys_;
};

std::optional<std::uint64_t> with_unit(string_view text, const std::map<string_view, std::uint64_t>& units) {
  const std::size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  const auto value = read_whole(text.substr(0, digits));
  const auto unit = units.find(trimmed(text.substr(digits)));
  if (!value || unit == units.end()) return std::nullopt;
  std::uint64_t product = 0;
  if (__builtin_mul_overflow(*value, unit->second, &product)) return std::nullopt;
  return product;
}

}  // namespace

std::optional<std::uint64_t> read_size(string_view text) {
  static const std::map<string_view, std::uint64_t> kUnits = {
      {"", 1}, {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", std::uint64_t{1} << 40}};
  return with_unit(text, kUnits);
}

std::optional<std::uint64_t> read_duration(string_view text) {
  static const std::map<string_view, std::uint64_t> kUnits = {{"ms", 1}, {"s", 1000}, {"min", 60'000}};
  return with_unit(text, kUnits);
}

std::optional<Place> read_place(const std::string& text) {
  Place place;
  if (text.starts_with('/')) {
    place.path = text;
    return text.size() < 108 ? std::optional(place) : std::nullopt;
  }
  const std::size_t colon = text.rfind(':');
  if (colon == std::string::npos || colon == 0) return std::nullopt;
  const auto port = read_whole(string_view(text).substr(colon + 1));
  if (!port || *port == 0 || *port > 65535) return std::nullopt;
  place.host = text.substr(0, colon);
  if (place.host == "localhost") place.host = "127.0.0.1";
  if (place.host.starts_with('[') && place.host.ends_with(']')) place.host = place.host.substr(1, colon - 2);
  place.port = static_cast<std::uint16_t>(*port);
  return place;
}

bool read_config(string_view text, const std::string& file, Options& options, BridgeSettings& bridge,
                 std::string& why) {
  Reader reader(options, bridge);
  std::size_t line = 0;
  while (!text.empty()) {
    ++line;
    const std::size_t end = std::min(text.find('\n'), text.size());
    why = reader.take(text.substr(0, end));
    if (!why.empty()) break;
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  if (why.empty()) why = reader.end_section();
  if (!why.empty()) why = file + ":" + std::to_string(line) + ": " + why;
  return why.empty();
}

}  // namespace cloister::agent
