// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "machine/config.h"

// What a machine can be asked to be, in one table: a row is a flag of `cloister run` and a key of its
// TOML file at once, with the same name, the same text as value and the same checks.
namespace cloister::cell {

struct Option {
  const char* name;   // "cpus": --cpus N, or cpus = N
  const char* value;  // what the help shows for the value
  const char* help;
  bool repeats;                 // may be given more than once: an array in TOML
  const char* value_if_absent;  // the value of a bare --flag; nullptr: a value is needed
  Result<void> (*set)(machine::MachineConfig& config, std::string_view text);
};

// In the order of the help.
std::span<const Option> options();

// Sets what a TOML text says. `origin` names it in errors ("vm.toml:3:1: unknown key 'cpu'…").
// Unknown keys, keys given twice and values of another type are errors.
Result<void> read_config(std::string_view text, std::string_view origin, machine::MachineConfig& config);
// The same from a file.
Result<void> read_config_file(const std::string& path, machine::MachineConfig& config);

}  // namespace cloister::cell
