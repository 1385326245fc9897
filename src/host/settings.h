// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/units.h"
#include "policy/memory/activity.h"
#include "policy/memory/states.h"
#include "policy/memory/tax.h"

// What the daemon can be asked to be, in one table: a row is a flag of `cloisterd`, a key of its TOML file
// and a field of /api/v1/host at once, with the same name, the same text as value and the same checks.
namespace cloister::host {

// What a guest is thought to need: what it was seen to use, or what its miss-ratio curve says that it would
// miss.
enum class Targets : u8 { kActivity, kWorth };

struct Settings {
  std::string state_folder;    // what must outlive the host's restart
  std::string runtime_folder;  // sockets, and what is true only as long as cells run
  std::string swap_folder;     // empty: "swap" in state_folder
  Bytes pool;                  // 0: half of the host's memory
  Bytes swap;                  // 0: as the pool, or half of what the disk has free where that is less
  policy::memory::Tax tax;
  policy::memory::ThresholdKind thresholds = policy::memory::ThresholdKind::kSliding;
  policy::memory::ActivitySettings activity;
  Targets targets = Targets::kActivity;
  u32 curve_samples = 256;         // pages of each guest watched for its miss-ratio curve; 0: none is made
  Bytes cell_overhead{32 * kMiB};  // what a cell is taken to need for itself until it was measured
  Nanos silent_after{5'000'000'000};
  u32 scan_share = 2;     // per cent of one host CPU that looking for equal pages may take; 0: none
  std::string cell_user;  // as whom cells run where the daemon is root; empty: "cloister", or else "nobody"
  std::string sandbox = "on";
};

struct SettingOption {
  const char* name;
  const char* value;
  const char* help;
  bool live;  // can be changed while the daemon runs
  Result<void> (*set)(Settings& settings, std::string_view text);
  std::string (*get)(const Settings& settings);
};

// In the order of the help.
std::span<const SettingOption> setting_options();
const SettingOption* find_setting(std::string_view name);

// The defaults, by who starts the daemon: below /run and /var/lib as root, else below XDG_RUNTIME_DIR and
// XDG_STATE_HOME, or where those are missing, below the home folder.
Settings default_settings();

// Sets what a TOML text says. `origin` names it in errors. Unknown keys and other types are errors.
Result<void> read_settings(std::string_view text, std::string_view origin, Settings& settings);

// What needs all of them: sizes against the machine's, folders that are named. Fills in what is 0 for "find
// out". `machine` is the host's memory.
Result<void> complete(Settings& settings, Bytes machine);

// "75%", "0.75" and "75" all mean three quarters. Refused: over `most`.
Result<policy::memory::Fraction> parse_fraction(std::string_view text, policy::memory::Fraction most);
std::string format_fraction(policy::memory::Fraction fraction);
Result<policy::memory::TaxKind> parse_tax_kind(std::string_view text);
std::string_view name_of(policy::memory::TaxKind kind);
// "30s", "500ms", "2min"; a bare number is seconds.
Result<Nanos> parse_duration(std::string_view text);
std::string format_duration(Nanos duration);

}  // namespace cloister::host
