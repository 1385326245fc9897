// SPDX-License-Identifier: Apache-2.0
#include <toml++/toml.h>

#include <span>

#include "base/os/file.h"
#include "base/size.h"
#include "sim/scenario.h"

// One table of keys for each kind of TOML table: a row is the key's name, its text in the help, and how its
// value is set.
namespace cloister::sim {
namespace {

// Bounds: a scenario is a page of text, a trace a number a second for a day.
constexpr Bytes kMostScenario{kMiB};
constexpr Bytes kMostTrace{16 * kMiB};

template <typename T>
struct Key {
  const char* name;
  const char* value;
  const char* help;
  Result<void> (*set)(T& to, std::string_view text);
};

// What a work table says before its trace is read.
struct WorkText {
  WorkloadSpec spec;
  std::string trace;
};

Error at(const toml::source_region& source, std::string_view origin, std::string_view message) {
  return error("{}:{}:{}: {}", origin, source.begin.line, source.begin.column, message);
}

// -- Values
// --------------------------------------------------------------------------------------------------

Result<Units> parse_units(std::string_view text) {
  const Bytes size = TRY(parse_size(text));
  if (size.raw % kPageSize != 0) return error("'{}' is not a multiple of the page, 4 KiB", text);
  return Units{size.raw / kPageSize};
}

Result<bool> parse_switch(std::string_view text) {
  if (text != "true" && text != "false") return error("'{}' is not true or false", text);
  return text == "true";
}

Result<Nanos> parse_positive_duration(std::string_view text) {
  const Nanos duration = TRY(parse_duration(text));
  if (duration.raw == 0) return error("'{}' is no time at all; give some", text);
  return duration;
}

template <typename T>
struct Word {
  const char* name;
  T value;
};

template <typename T, std::size_t count>
Result<T> parse_word(std::string_view text, const Word<T> (&words)[count]) {
  std::string known;
  for (const Word<T>& word : words) {
    if (text == word.name) return word.value;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", word.name);
  }
  return error("'{}' is not known; choose one of {}", text, known);
}

Result<pm::TaxKind> parse_tax_kind(std::string_view text) {
  return parse_word<pm::TaxKind>(text, {{"flat", pm::TaxKind::kFlat},
                                        {"progressive", pm::TaxKind::kProgressive},
                                        {"by-time", pm::TaxKind::kByTime}});
}

Result<pm::Fraction> parse_percent(std::string_view text) {
  return pm::Fraction::percent(static_cast<u32>(TRY(parse_number("the value", text, 0, 99))));
}

// A member that has its own parser.
template <auto member, auto parse, typename T>
Result<void> set(T& to, std::string_view text) {
  to.*member = TRY(parse(text));
  return {};
}
template <auto member, u64 least, u64 most, typename T>
Result<void> set_number(T& to, std::string_view text) {
  using Value = std::remove_reference_t<decltype(to.*member)>;
  to.*member = static_cast<Value>(TRY(parse_number("the value", text, least, most)));
  return {};
}
template <auto member, typename T>
Result<void> set_text(T& to, std::string_view text) {
  if (text.empty()) return error("is empty; leave the key out");
  to.*member = text;
  return {};
}
// The same for a member of `settings`.
template <auto member, auto parse, typename T>
Result<void> set_setting(T& to, std::string_view text) {
  to.settings.*member = TRY(parse(text));
  return {};
}

// -- Keys
// ----------------------------------------------------------------------------------------------------

const Key<Scenario> kScenarioKeys[] = {
    {"seed", "N", "of all that is random; default 1", set_number<&Scenario::seed, 0, ~u64{0}>},
    {"hosts", "N", "like hosts, each with its own seed; default 1", set_number<&Scenario::hosts, 1, 10'000>},
    {"duration", "TIME", "of the simulation; default 1h", set<&Scenario::duration, parse_positive_duration>},
    {"step", "TIME", "between two looks at everything; default 1s",
     set<&Scenario::step, parse_positive_duration>},
    {"record", "TIME", "between two rows of the series; default 10s",
     set<&Scenario::record, parse_positive_duration>},
    {"memory", "SIZE", "a host's, for guests and their cells; needed", set<&Scenario::memory, parse_size>},
    {"swap", "SIZE", "a host's swap space; default as much as is needed", set<&Scenario::swap, parse_size>},
    {"thresholds", "sliding|fixed", "of the host's states; default sliding",
     [](Scenario& to, std::string_view text) -> Result<void> {
       to.thresholds = TRY(parse_word<pm::ThresholdKind>(
           text, {{"sliding", pm::ThresholdKind::kSliding}, {"fixed", pm::ThresholdKind::kFixed}}));
       return {};
     }},
    {"tax", "PERCENT", "the idle tax, 0 to 99; default 75",
     [](Scenario& to, std::string_view text) -> Result<void> {
       to.tax.rate = TRY(parse_percent(text));
       return {};
     }},
    {"tax-kind", "flat|progressive|by-time", "default flat",
     [](Scenario& to, std::string_view text) -> Result<void> {
       to.tax.kind = TRY(parse_tax_kind(text));
       return {};
     }},
    {"targets", "activity|worth", "by activity, or by miss-ratio curves; default activity",
     [](Scenario& to, std::string_view text) -> Result<void> {
       to.by_worth = TRY(parse_word<bool>(text, {{"activity", false}, {"worth", true}}));
       return {};
     }},
    {"samples", "N", "pages watched in each period; default 100",
     [](Scenario& to, std::string_view text) -> Result<void> {
       to.activity.samples = static_cast<u32>(TRY(parse_number("the value", text, 1, 100'000)));
       return {};
     }},
    {"sample-period", "TIME", "of a guest's run time; default 30s",
     [](Scenario& to, std::string_view text) -> Result<void> {
       to.activity.period = TRY(parse_positive_duration(text));
       to.activity.longest_period = {2 * to.activity.period.raw};
       return {};
     }},
};

const Key<PoolSpec> kPoolKeys[] = {
    {"name", "NAME", "needed", set_text<&PoolSpec::name>},
    {"in", "POOL", "the pool that holds it, given before; default the host's", set_text<&PoolSpec::parent>},
    {"shares", "low|normal|high|N", "default normal", set_setting<&pm::Settings::shares, pm::parse_shares>},
    {"min", "SIZE", "reserved; default 0", set_setting<&pm::Settings::min, parse_units>},
    {"limit", "SIZE", "default none", set_setting<&pm::Settings::limit, parse_units>},
    {"tax", "PERCENT", "default the pool's above", set_setting<&pm::Settings::tax_rate, parse_percent>},
    {"tax-kind", "KIND", "default the pool's above", set_setting<&pm::Settings::tax_kind, parse_tax_kind>},
};

Result<Behaviour> parse_behaviour(std::string_view text) {
  return parse_word<Behaviour>(text, {{"honest", Behaviour::kHonest},
                                      {"slow", Behaviour::kSlow},
                                      {"refuses", Behaviour::kRefuses},
                                      {"lies", Behaviour::kLies},
                                      {"hog", Behaviour::kHog}});
}

const Key<GuestSpec> kGuestKeys[] = {
    {"name", "NAME", "needed; with a count name-1, name-2, …", set_text<&GuestSpec::name>},
    {"count", "N", "so many alike; default 1", set_number<&GuestSpec::count, 1, 10'000>},
    {"in", "POOL", "the pool that holds it; default the host's", set_text<&GuestSpec::pool>},
    {"size", "SIZE", "configured memory; needed", set<&GuestSpec::size, parse_units>},
    {"shares", "low|normal|high|N", "default normal", set_setting<&pm::Settings::shares, pm::parse_shares>},
    {"min", "SIZE", "reserved; default 0", set_setting<&pm::Settings::min, parse_units>},
    {"limit", "SIZE", "default none", set_setting<&pm::Settings::limit, parse_units>},
    {"tax", "PERCENT", "default the pool's", set_setting<&pm::Settings::tax_rate, parse_percent>},
    {"tax-kind", "KIND", "default the pool's", set_setting<&pm::Settings::tax_kind, parse_tax_kind>},
    {"overhead", "SIZE", "what its cell takes for itself; default 24MiB",
     set<&GuestSpec::overhead, parse_size>},
    {"start", "TIME", "default 0s", set<&GuestSpec::start, parse_duration>},
    {"stop", "TIME", "default never",
     [](GuestSpec& to, std::string_view text) -> Result<void> {
       to.stop = TRY(parse_duration(text));
       return {};
     }},
    {"fills", "true|false", "touches all its memory once; default false",
     set<&GuestSpec::fills, parse_switch>},
    {"behaviour", "honest|slow|refuses|lies|hog", "when it is asked for memory; default honest",
     set<&GuestSpec::behaviour, parse_behaviour>},
    {"miss-cost", "N", "time of a reference that misses, in such that hit; default 20",
     set_number<&GuestSpec::miss_cost, 1, 1'000'000>},
    {"references", "N", "a second when nothing misses; default 1000000",
     set_number<&GuestSpec::references, 1, 4'000'000'000>},
};

Result<Shape> parse_shape(std::string_view text) {
  return parse_word<Shape>(
      text,
      {{"steps", Shape::kSteps}, {"wave", Shape::kWave}, {"bursts", Shape::kBursts}, {"walk", Shape::kWalk}});
}

Result<void> add_point(WorkText& to, std::string_view text) {
  const std::size_t space = text.find(' ');
  if (space == text.npos) return error("'{}' is not a time and a size, as \"10m 400MiB\"", text);
  const WorkPoint point{TRY(parse_duration(text.substr(0, space))), TRY(parse_units(text.substr(space + 1)))};
  if (!to.spec.points.empty() && point.at < to.spec.points.back().at)
    return error("'{}' is earlier than the point before it", text);
  to.spec.points.push_back(point);
  return {};
}

template <auto member, auto parse>
Result<void> set_work(WorkText& to, std::string_view text) {
  to.spec.*member = TRY(parse(text));
  return {};
}

const Key<WorkText> kWorkKeys[] = {
    {"shape", "steps|wave|bursts|walk", "default steps", set_work<&WorkloadSpec::shape, parse_shape>},
    {"points", "[\"TIME SIZE\", …]", "of steps: the working set from that time on", add_point},
    {"trace", "FILE", "of steps: recorded, a line \"SECONDS,MiB\" each", set_text<&WorkText::trace>},
    {"low", "SIZE", "of the other shapes: the smallest working set",
     set_work<&WorkloadSpec::low, parse_units>},
    {"high", "SIZE", "of the other shapes: the largest", set_work<&WorkloadSpec::high, parse_units>},
    {"period", "TIME", "of the other shapes; default 10m",
     set_work<&WorkloadSpec::period, parse_positive_duration>},
};

const Key<FaultSpec> kFaultKeys[] = {
    {"kills-per-hour", "N", "machines that die and start again; default 0",
     set_number<&FaultSpec::kills_per_hour, 0, 3600>},
    {"stalls-per-hour", "N", "machines that give nothing for a minute; default 0",
     set_number<&FaultSpec::stalls_per_hour, 0, 3600>},
    {"changes-per-hour", "N", "machines that get other shares or another minimum; default 0",
     set_number<&FaultSpec::changes_per_hour, 0, 3600>},
    {"restart", "TIME", "from a death to the next start; default 30s",
     set<&FaultSpec::restart, parse_duration>},
};

// -- Tables
// --------------------------------------------------------------------------------------------------

class Reader {
 public:
  Reader(std::string_view origin, const std::string& folder) : origin_(origin), folder_(folder) {}

  Result<Scenario> scenario(const toml::table& table) {
    Scenario made;
    for (const auto& [key, node] : table) {
      if (key == "faults") {
        TRY(one(node, kFaultKeys, "faults", made.faults));
      } else if (key == "pool") {
        TRY(pools(node, made));
      } else if (key == "vm") {
        TRY(guests(node, made));
      } else {
        TRY(set_key(key, node, std::span<const Key<Scenario>>(kScenarioKeys), made));
      }
    }
    if (made.memory.raw == 0)
      return error("{}: memory is missing; give the host's, as memory = \"4GiB\"", origin_);
    return made;
  }

 private:
  template <typename T>
  Result<void> set_key(const toml::key& key, const toml::node& node, std::span<const Key<T>> keys, T& to) {
    std::string known;
    for (const Key<T>& row : keys) {
      if (key == row.name) return set_value(row, node, to);
      known += fmt::format("{}{}", known.empty() ? "" : ", ", row.name);
    }
    return at(key.source(), origin_, fmt::format("unknown key '{}'; known are {}", key.str(), known));
  }

  template <typename T>
  Result<void> set_value(const Key<T>& row, const toml::node& node, T& to) {
    if (const toml::array* list = node.as_array();
        list != nullptr && row.name == std::string_view("points")) {
      for (const toml::node& entry : *list) TRY(set_value(row, entry, to));
      return {};
    }
    std::string text;
    if (const auto* word = node.as_string()) {
      text = word->get();
    } else if (const auto* number = node.as_integer()) {
      text = fmt::format("{}", number->get());
    } else if (const auto* truth = node.as_boolean()) {
      text = truth->get() ? "true" : "false";
    } else {
      return at(node.source(), origin_, fmt::format("{} takes {}", row.name, row.value));
    }
    const Result<void> result = row.set(to, text);
    if (!result.ok())
      return at(node.source(), origin_, fmt::format("{}: {}", row.name, result.failure().message));
    return {};
  }

  template <typename T, std::size_t count>
  Result<void> one(const toml::node& node, const Key<T> (&keys)[count], const char* what, T& to) {
    const toml::table* table = node.as_table();
    if (table == nullptr) return at(node.source(), origin_, fmt::format("{} is not a table", what));
    for (const auto& [key, value] : *table) TRY(set_key(key, value, std::span<const Key<T>>(keys), to));
    return {};
  }

  Result<void> pools(const toml::node& node, Scenario& to) {
    const toml::array* list = node.as_array();
    if (list == nullptr) return at(node.source(), origin_, "pool is not a list of tables; write [[pool]]");
    for (const toml::node& entry : *list) {
      PoolSpec pool;
      TRY(one(entry, kPoolKeys, "pool", pool));
      if (pool.name.empty()) return at(entry.source(), origin_, "a pool without a name; give it one");
      to.pools.push_back(pool);
    }
    return {};
  }

  Result<void> guests(const toml::node& node, Scenario& to) {
    const toml::array* list = node.as_array();
    if (list == nullptr) return at(node.source(), origin_, "vm is not a list of tables; write [[vm]]");
    for (const toml::node& entry : *list) to.guests.push_back(TRY(guest(entry)));
    return {};
  }

  Result<GuestSpec> guest(const toml::node& node) {
    const toml::table* table = node.as_table();
    if (table == nullptr) return at(node.source(), origin_, "vm is not a table; write [[vm]]");
    GuestSpec made;
    for (const auto& [key, value] : *table) {
      if (key == "work") {
        made.work = TRY(work(value));
      } else {
        TRY(set_key(key, value, std::span<const Key<GuestSpec>>(kGuestKeys), made));
      }
    }
    if (made.name.empty()) return at(node.source(), origin_, "a vm without a name; give it one");
    if (made.size.raw == 0) return at(node.source(), origin_, fmt::format("{}: size is missing", made.name));
    return made;
  }

  Result<WorkloadSpec> work(const toml::node& node) {
    WorkText made;
    TRY(one(node, kWorkKeys, "work", made));
    if (!made.trace.empty()) {
      const Result<void> traced = read_trace(made);
      if (!traced.ok()) return at(node.source(), origin_, traced.failure().message);
    }
    if (made.spec.low > made.spec.high)
      return at(node.source(), origin_, "work: low is over high; turn them round");
    if (made.spec.shape == Shape::kSteps && made.spec.points.empty())
      return at(node.source(), origin_, "work: no points and no trace; give one of them, or another shape");
    return made.spec;
  }

  // Lines that begin with a letter or '#' are a head or remarks.
  Result<void> read_trace(WorkText& to) {
    const std::string path = to.trace.starts_with('/') ? to.trace : folder_ + "/" + to.trace;
    const std::string text = TRY(os::read_text_file(path, kMostTrace));
    std::string_view rest = text;
    for (u64 line = 1; !rest.empty(); ++line) {
      const std::string_view row = rest.substr(0, rest.find('\n'));
      rest.remove_prefix(std::min(rest.size(), row.size() + 1));
      if (row.empty() || row[0] < '0' || row[0] > '9') continue;
      const std::size_t comma = row.find(',');
      const bool whole = comma != row.npos;
      const auto added =
          add_point(to, fmt::format("{}s {}MiB", row.substr(0, comma), whole ? row.substr(comma + 1) : ""));
      if (!added.ok()) return error("{}:{}: {}", path, line, added.failure().message);
    }
    return {};
  }

  std::string_view origin_;
  const std::string& folder_;
};

template <typename T, std::size_t count>
void describe(std::string& text, const char* title, const Key<T> (&keys)[count]) {
  text += fmt::format("{}\n", title);
  for (const Key<T>& key : keys)
    text += fmt::format("  {:<38}{}\n", fmt::format("{} = {}", key.name, key.value), key.help);
}

}  // namespace

Result<Scenario> read_scenario(std::string_view text, std::string_view origin,
                               const std::string& folder) try {
  const toml::table table = toml::parse(text);
  Scenario scenario = TRY(Reader(origin, folder).scenario(table));
  const Result<void> fits = check_scenario(scenario);
  if (!fits.ok()) return error("{}: {}", origin, fits.failure().message);
  return scenario;
} catch (const toml::parse_error& failure) {
  return at(failure.source(), origin, failure.description());
}

Result<Scenario> read_scenario_file(const std::string& path) {
  const std::string text = TRY(os::read_text_file(path, kMostScenario));
  const std::size_t slash = path.rfind('/');
  return read_scenario(text, path, slash == path.npos ? "." : path.substr(0, slash));
}

std::string scenario_keys() {
  std::string text;
  describe(text, "Of the scenario:", kScenarioKeys);
  describe(text, "Of each [[pool]]:", kPoolKeys);
  describe(text, "Of each [[vm]]:", kGuestKeys);
  describe(text, "Of a vm's work = { … }:", kWorkKeys);
  describe(text, "Of [faults]:", kFaultKeys);
  return text;
}

}  // namespace cloister::sim
