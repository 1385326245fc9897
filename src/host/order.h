// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "machine/config.h"
#include "policy/memory/client_tree.h"

namespace cloister::host {

// One thing that was asked for: a flag of `cloister launch`, a key of its TOML file, a field of the API's
// JSON, always with the same name and the same text as value.
struct Word {
  std::string key;
  std::string text;
};

// How a machine shares the host's memory with others.
struct MemoryTerms {
  policy::memory::Settings policy;  // shares, min, limit, tax
  std::string trust_group;          // whom it shares equal pages with; empty: only with itself
};

struct TermOption {
  const char* name;
  const char* value;
  const char* help;
  Result<void> (*set)(MemoryTerms& terms, std::string_view text);
};
std::span<const TermOption> term_options();

// A machine as a person ordered it, checked as far as that goes without opening anything.
struct MachineOrder {
  std::string name;
  std::string folder = "/";  // relative paths in the words begin here
  std::vector<Word> words;   // all but name and folder, in the order given
  machine::MachineConfig machine;
  MemoryTerms terms;

  // Refused: unknown keys, keys given twice that take one value, values that do not fit, no kernel, no name.
  static Result<MachineOrder> read(std::string name, std::vector<Word> words);
  // The same machine with other terms: each word replaces those of its key.
  Result<MachineOrder> with(std::span<const Word> changes) const;

  // The flags for cloister-cell: those of the machine, without the terms.
  std::vector<std::string> cell_flags() const;
  policy::memory::Units size() const;
};

// {"memory": "512MiB", "cpus": 2, "disk": ["a", "b"]}, and back. Refused: anything but strings, whole numbers
// and arrays of those.
Result<std::vector<Word>> words_of(const nlohmann::json& object);
nlohmann::json json_of(const MachineOrder& order);

}  // namespace cloister::host
