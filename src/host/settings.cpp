// SPDX-License-Identifier: Apache-2.0
#include "host/settings.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "base/os/inode.h"
#include "base/size.h"
#include "host/toml_words.h"

namespace cloister::host {
namespace {

using policy::memory::Fraction;
using policy::memory::TaxKind;
using policy::memory::ThresholdKind;

template <std::string Settings::*member>
Result<void> set_folder(Settings& settings, std::string_view text) {
  if (text.empty() || text[0] != '/') {
    return error("folder '{}' is not an absolute path; begin it with '/'", text);
  }
  settings.*member = text;
  return {};
}
template <std::string Settings::*member>
std::string get_text(const Settings& settings) {
  return settings.*member;
}

template <Bytes Settings::*member>
Result<void> set_size(Settings& settings, std::string_view text) {
  settings.*member = TRY(parse_size(text));
  return {};
}
template <Bytes Settings::*member>
std::string get_size(const Settings& settings) {
  return format_size(settings.*member);
}

Result<void> set_tax(Settings& settings, std::string_view text) {
  settings.tax.rate = TRY(parse_fraction(text, policy::memory::kMaxTax));
  return {};
}
std::string get_tax(const Settings& settings) { return format_fraction(settings.tax.rate); }

Result<void> set_tax_kind(Settings& settings, std::string_view text) {
  settings.tax.kind = TRY(parse_tax_kind(text));
  return {};
}
std::string get_tax_kind(const Settings& settings) { return std::string(name_of(settings.tax.kind)); }

Result<void> set_thresholds(Settings& settings, std::string_view text) {
  if (text != "sliding" && text != "fixed") {
    return error("thresholds '{}' are not known; choose sliding or fixed", text);
  }
  settings.thresholds = text == "fixed" ? ThresholdKind::kFixed : ThresholdKind::kSliding;
  return {};
}
std::string get_thresholds(const Settings& settings) {
  return settings.thresholds == ThresholdKind::kFixed ? "fixed" : "sliding";
}

Result<void> set_samples(Settings& settings, std::string_view text) {
  settings.activity.samples = static_cast<u32>(TRY(parse_number("samples", text, 1, 100'000)));
  return {};
}
std::string get_samples(const Settings& settings) { return fmt::format("{}", settings.activity.samples); }

Result<void> set_targets(Settings& settings, std::string_view text) {
  if (text != "activity" && text != "worth") {
    return error("targets '{}' are not known; choose activity or worth", text);
  }
  settings.targets = text == "worth" ? Targets::kWorth : Targets::kActivity;
  return {};
}
std::string get_targets(const Settings& settings) {
  return settings.targets == Targets::kWorth ? "worth" : "activity";
}

// Bound: each page that is watched may cost a shootdown's part every five seconds.
Result<void> set_curve_samples(Settings& settings, std::string_view text) {
  settings.curve_samples = static_cast<u32>(TRY(parse_number("curve-samples", text, 0, 16'384)));
  return {};
}
std::string get_curve_samples(const Settings& settings) { return fmt::format("{}", settings.curve_samples); }

// Bounds of the period: shorter ones cost the guests, longer ones say nothing in time.
template <Nanos policy::memory::ActivitySettings::*member>
Result<void> set_period(Settings& settings, std::string_view text) {
  const Nanos period = TRY(parse_duration(text));
  if (period < Nanos{100'000'000} || period > Nanos{3'600'000'000'000}) {
    return error("period '{}' is not from 100ms to 3600s", text);
  }
  settings.activity.*member = period;
  return {};
}
template <Nanos policy::memory::ActivitySettings::*member>
std::string get_period(const Settings& settings) {
  return format_duration(settings.activity.*member);
}

Result<void> set_silent(Settings& settings, std::string_view text) {
  settings.silent_after = TRY(parse_duration(text));
  if (settings.silent_after < Nanos{2'000'000'000}) {
    return error("silent-after '{}' is too short: cells report once a second; take 2s or more", text);
  }
  return {};
}
std::string get_silent(const Settings& settings) { return format_duration(settings.silent_after); }

Result<void> set_scan(Settings& settings, std::string_view text) {
  settings.scan_share = static_cast<u32>(TRY(parse_number("scan-share", text, 0, 50)));
  return {};
}
std::string get_scan(const Settings& settings) { return fmt::format("{}", settings.scan_share); }

Result<void> set_user(Settings& settings, std::string_view text) {
  settings.cell_user = text;
  return {};
}

Result<void> set_sandbox(Settings& settings, std::string_view text) {
  if (text != "on" && text != "off") return error("sandbox '{}' is not known; choose on or off", text);
  settings.sandbox = text;
  return {};
}

using Activity = policy::memory::ActivitySettings;

constexpr SettingOption kOptions[] = {
    {"pool", "SIZE", "memory for all guests and their cells; default half of the machine's", true,
     set_size<&Settings::pool>, get_size<&Settings::pool>},
    {"swap", "SIZE", "disk space for guests' pages; default as the pool, or half of what is free", true,
     set_size<&Settings::swap>, get_size<&Settings::swap>},
    {"swap-folder", "FOLDER", "where swap files are made", false, set_folder<&Settings::swap_folder>,
     get_text<&Settings::swap_folder>},
    {"idle-tax", "PART", "the part of its idle memory that a guest can lose, 0 to 0.99; default 0.75", true,
     set_tax, get_tax},
    {"idle-tax-kind", "flat|progressive|by-time",
     "whether idle memory costs more the more or the longer idle", true, set_tax_kind, get_tax_kind},
    {"thresholds", "sliding|fixed", "how much free memory the states high, soft, hard and low are left at",
     true, set_thresholds, get_thresholds},
    {"samples", "N", "pages watched in each sampling period; default 100", true, set_samples, get_samples},
    {"period", "TIME", "sampling period, of a guest's run time; default 30s", true,
     set_period<&Activity::period>, get_period<&Activity::period>},
    {"longest-period", "TIME", "the same in wall time; default 60s", true,
     set_period<&Activity::longest_period>, get_period<&Activity::longest_period>},
    {"targets", "activity|worth", "whether memory goes by what is used, or by the misses that it would save",
     true, set_targets, get_targets},
    {"curve-samples", "N", "pages of a guest watched for its miss-ratio curve; 0 for none; default 256", true,
     set_curve_samples, get_curve_samples},
    {"cell-overhead", "SIZE", "what a cell is taken to need beside its guest before it was measured", true,
     set_size<&Settings::cell_overhead>, get_size<&Settings::cell_overhead>},
    {"silent-after", "TIME", "a cell that says nothing for so long is reported; default 5s", true, set_silent,
     get_silent},
    {"scan-share", "PERCENT", "of one CPU, for finding equal pages; 0 for none; default 2", true, set_scan,
     get_scan},
    {"cell-user", "USER", "as whom cells run when the daemon is root", false, set_user,
     get_text<&Settings::cell_user>},
    {"sandbox", "on|off", "whether cells shut themselves in; off is for debugging", false, set_sandbox,
     get_text<&Settings::sandbox>},
    {"state-folder", "FOLDER", "what outlives the daemon", false, set_folder<&Settings::state_folder>,
     get_text<&Settings::state_folder>},
    {"runtime-folder", "FOLDER", "sockets", false, set_folder<&Settings::runtime_folder>,
     get_text<&Settings::runtime_folder>},
};

std::string folder_from(const char* variable, const char* below_home) {
  const char* value = std::getenv(variable);
  if (value != nullptr && value[0] == '/') return std::string(value) + "/cloister";
  const char* home = std::getenv("HOME");
  return std::string(home != nullptr ? home : "/tmp") + below_home;
}

Result<void> complete_swap(Settings& settings) {
  if (settings.swap_folder.empty()) settings.swap_folder = settings.state_folder + "/swap";
  std::error_code failure;
  std::filesystem::create_directories(settings.swap_folder, failure);
  const auto space = std::filesystem::space(settings.swap_folder, failure);
  if (failure) {
    return error("the swap folder '{}' cannot be used: {}; choose another with swap-folder",
                 settings.swap_folder, failure.message());
  }
  const Bytes room{space.available};
  if (settings.swap.raw == 0) settings.swap = std::min(settings.pool, Bytes{room.raw / 2});
  settings.swap.raw &= ~kPageMask;
  return {};
}

}  // namespace

std::span<const SettingOption> setting_options() { return kOptions; }

const SettingOption* find_setting(std::string_view name) {
  for (const SettingOption& option : kOptions) {
    if (name == option.name) return &option;
  }
  return nullptr;
}

Settings default_settings() {
  Settings settings;
  if (os::file_owner().user == 0) {
    settings.state_folder = "/var/lib/cloister";
    settings.runtime_folder = "/run/cloister";
  } else {
    settings.state_folder = folder_from("XDG_STATE_HOME", "/.local/state/cloister");
    settings.runtime_folder = folder_from("XDG_RUNTIME_DIR", "/.local/state/cloister/run");
  }
  return settings;
}

Result<void> read_settings(std::string_view text, std::string_view origin, Settings& settings) {
  for (const TomlWord& word : TRY(read_toml_words(text, origin))) {
    const SettingOption* option = find_setting(word.key);
    if (option == nullptr)
      return error("{}: unknown key '{}'; cloisterd --help lists them", word.place, word.key);
    const auto set = option->set(settings, word.text);
    if (!set.ok()) return error("{}: {}", word.place, set.failure().message);
  }
  return {};
}

Result<void> complete(Settings& settings, Bytes machine) {
  if (settings.pool.raw == 0) settings.pool = Bytes{machine.raw / 2};
  settings.pool.raw &= ~kPageMask;
  if (settings.pool > machine) {
    return error("the pool of {} is larger than the machine's memory, {}, by {} bytes; make it smaller",
                 format_size(settings.pool), format_size(machine), (settings.pool - machine).raw);
  }
  constexpr Bytes kSmallest = bytes_of(policy::memory::Thresholds::kSmallestPool);
  if (settings.pool < kSmallest) {
    return error("the pool of {} is smaller than {}; make it larger", format_size(settings.pool),
                 format_size(kSmallest));
  }
  if (settings.activity.longest_period < settings.activity.period) {
    return error("longest-period {} is shorter than period {}",
                 format_duration(settings.activity.longest_period),
                 format_duration(settings.activity.period));
  }
  return complete_swap(settings);
}

}  // namespace cloister::host
