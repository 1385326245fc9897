// SPDX-License-Identifier: Apache-2.0
#include "host/order.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "base/size.h"
#include "cell/options.h"
#include "host/settings.h"

namespace cloister::host {
namespace {

using policy::memory::Units;

Result<Units> parse_units(std::string_view what, std::string_view text) {
  const auto size = parse_size(text);
  if (!size.ok()) return error("{}: {}", what, size.failure().message);
  if (size->raw % kPageSize != 0) {
    return error("{} '{}' is not a multiple of the page, 4 KiB; write for example 256MiB", what, text);
  }
  return Units{size->raw >> kPageShift};
}

Result<void> set_shares(MemoryTerms& terms, std::string_view text) {
  terms.policy.shares = TRY(policy::memory::parse_shares(text));
  return {};
}
Result<void> set_min(MemoryTerms& terms, std::string_view text) {
  terms.policy.min = TRY(parse_units("min", text));
  return {};
}
Result<void> set_limit(MemoryTerms& terms, std::string_view text) {
  terms.policy.limit.reset();
  if (text != "none") terms.policy.limit = TRY(parse_units("limit", text));
  return {};
}
Result<void> set_tax(MemoryTerms& terms, std::string_view text) {
  terms.policy.tax_rate.reset();
  if (text != "host") terms.policy.tax_rate = TRY(parse_fraction(text, policy::memory::kMaxTax));
  return {};
}
Result<void> set_tax_kind(MemoryTerms& terms, std::string_view text) {
  terms.policy.tax_kind.reset();
  if (text != "host") terms.policy.tax_kind = TRY(parse_tax_kind(text));
  return {};
}
Result<void> set_group(MemoryTerms& terms, std::string_view text) {
  if (text.size() > 64)
    return error("trust-group '{}' is longer than 64 letters; choose a shorter name", text);
  terms.trust_group = text;
  return {};
}

constexpr TermOption kTerms[] = {
    {"shares", "low|normal|high|N", "its part when memory is short; default normal, 2000 a GiB or so",
     set_shares},
    {"min", "SIZE", "host memory that is never taken from it; default 0", set_min},
    {"limit", "SIZE|none", "host memory that it never gets more of; default none", set_limit},
    {"idle-tax", "PART|host", "its own idle tax; default the host's", set_tax},
    {"idle-tax-kind", "flat|progressive|by-time|host", "likewise", set_tax_kind},
    {"trust-group", "NAME", "machines of one group may share equal pages; default none but itself",
     set_group},
};

const cell::Option* find_machine_option(std::string_view key) {
  for (const cell::Option& option : cell::options()) {
    if (key == option.name) return &option;
  }
  return nullptr;
}
const TermOption* find_term(std::string_view key) {
  for (const TermOption& term : kTerms) {
    if (key == term.name) return &term;
  }
  return nullptr;
}

Error unknown_key(std::string_view key) {
  std::string known;
  for (const cell::Option& option : cell::options()) known += fmt::format("{}, ", option.name);
  for (const TermOption& term : kTerms) known += fmt::format("{}, ", term.name);
  known.resize(known.size() - 2);
  return error("'{}' is not known; known are {}", key, known);
}

Result<void> apply(MachineOrder& order, const Word& word, std::set<std::string>& seen) {
  const bool again = !seen.insert(word.key).second;
  if (word.key == "folder") {
    if (again || word.text.empty() || word.text[0] != '/') {
      return error("folder '{}' is not one absolute path", word.text);
    }
    order.folder = word.text;
    return {};
  }
  const cell::Option* option = find_machine_option(word.key);
  if (again && (option == nullptr || !option->repeats)) {
    return error("{} is given twice; give it once", word.key);
  }
  if (option != nullptr) return option->set(order.machine, word.text);
  const TermOption* term = find_term(word.key);
  return term != nullptr ? term->set(order.terms, word.text) : unknown_key(word.key);
}

Result<void> check(const MachineOrder& order) {
  if (order.machine.kernel.empty())
    return error("machine '{}' has no kernel; name one with kernel", order.name);
  TRY(machine::check_config(order.machine));
  if (order.machine.deterministic || !order.machine.profile.empty() || order.machine.perf_map) {
    return error(
        "deterministic, profile and perf-map are for `cloister run`, which has a machine to itself; leave "
        "them out");
  }
  // What contradicts itself is the policy's to say; a tree of this one alone tells.
  policy::memory::ClientTree tree;
  TRY(tree.add_client(policy::memory::kRoot, order.name, order.size(), order.terms.policy));
  return {};
}

}  // namespace

std::span<const TermOption> term_options() { return kTerms; }

Units MachineOrder::size() const { return Units{machine.memory.raw >> kPageShift}; }

Result<MachineOrder> MachineOrder::read(std::string name, std::vector<Word> words) {
  MachineOrder order;
  std::erase_if(words, [](const Word& word) { return word.key == "name"; });
  TRY(find_machine_option("name")->set(order.machine, name));
  order.name = std::move(name);
  std::set<std::string> seen;
  for (const Word& word : words) TRY(apply(order, word, seen));
  std::erase_if(words, [](const Word& word) { return word.key == "folder"; });
  order.words = std::move(words);
  TRY(check(order));
  return order;
}

Result<MachineOrder> MachineOrder::with(std::span<const Word> changes) const {
  std::vector<Word> merged = words;
  merged.push_back({"folder", folder});
  for (const Word& change : changes) {
    if (find_term(change.key) == nullptr && find_machine_option(change.key) != nullptr) {
      return error("{} cannot be changed; stop and delete '{}' and launch it anew", change.key, name);
    }
    std::erase_if(merged, [&](const Word& word) { return word.key == change.key; });
    merged.push_back(change);
  }
  return read(name, std::move(merged));
}

std::vector<std::string> MachineOrder::cell_flags() const {
  std::vector<std::string> flags{"--name=" + name};
  for (const Word& word : words) {
    if (find_machine_option(word.key) != nullptr)
      flags.push_back(fmt::format("--{}={}", word.key, word.text));
  }
  return flags;
}

Result<std::vector<Word>> words_of(const nlohmann::json& object) {
  if (!object.is_object()) return error("a machine is a JSON object, as {{\"memory\": \"512MiB\"}}");
  std::vector<Word> words;
  const auto add = [&](const std::string& key, const nlohmann::json& value) -> Result<void> {
    if (value.is_string()) {
      words.push_back({key, value.get<std::string>()});
    } else if (value.is_number_integer()) {
      words.push_back({key, value.dump()});
    } else {
      return error("'{}' takes a string or a whole number, not {}", key, value.dump());
    }
    return {};
  };
  for (const auto& [key, value] : object.items()) {
    if (!value.is_array()) {
      TRY(add(key, value));
      continue;
    }
    for (const auto& entry : value) TRY(add(key, entry));
  }
  return words;
}

nlohmann::json json_of(const MachineOrder& order) {
  nlohmann::json object = nlohmann::json::object();
  for (const Word& word : order.words) {
    const cell::Option* option = find_machine_option(word.key);
    if (option != nullptr && option->repeats) {
      object[word.key].push_back(word.text);
    } else {
      object[word.key] = word.text;
    }
  }
  object["folder"] = order.folder;
  return object;
}

}  // namespace cloister::host
