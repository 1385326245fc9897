// SPDX-License-Identifier: Apache-2.0
#include "sim/memory_command.h"

#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/os/file.h"
#include "base/size.h"

namespace cloister::sim {
namespace {

// Guests of one [[vm]] table, on all hosts.
struct Kind {
  u64 starts = 0;
  u64 refusals = 0;
  u64 taken = 0;
  u128 lifetime = 0;
  u128 held_time = 0;
  u128 speed_time = 0;

  void add(const MemoryHost::GuestSummary& guest) {
    starts += guest.starts;
    refusals += guest.refusals;
    taken += guest.taken;
    lifetime += guest.lifetime.raw;
    held_time += u128{guest.lifetime.raw} * guest.mean_held;
    speed_time += u128{guest.lifetime.raw} * guest.speed.raw;
  }
  u64 mean_held() const { return lifetime == 0 ? 0 : static_cast<u64>(held_time / lifetime); }
  pm::Fraction speed() const { return {lifetime == 0 ? 0 : static_cast<u32>(speed_time / lifetime)}; }
};

std::vector<Kind> kinds(const Scenario& scenario, const MemoryResult& result) {
  std::vector<Kind> found(scenario.guests.size());
  for (const MemoryHost::Summary& host : result.hosts) {
    std::size_t at = 0;
    for (std::size_t kind = 0; kind < found.size(); ++kind) {
      for (u32 i = 0; i < scenario.guests[kind].count; ++i) found[kind].add(host.guests[at++]);
    }
  }
  return found;
}

nlohmann::json json_of(const MemoryHost::GuestSummary& guest) {
  return {{"name", guest.name},
          {"seconds", guest.lifetime.raw / seconds(1).raw},
          {"speed", static_cast<double>(guest.speed.raw) / pm::Fraction::kWhole},
          {"mean_held_bytes", guest.mean_held * kPageSize},
          {"taken_bytes", guest.taken * kPageSize},
          {"starts", guest.starts},
          {"refusals", guest.refusals}};
}

nlohmann::json json_of(const MemoryHost::Summary& host) {
  nlohmann::json made = {{"plans", host.plans},
                         {"state_changes", host.state_changes},
                         {"violation_count", host.violation_count},
                         {"guests", nlohmann::json::array()},
                         {"violations", nlohmann::json::array()}};
  for (const pm::HostState state :
       {pm::HostState::kHigh, pm::HostState::kSoft, pm::HostState::kHard, pm::HostState::kLow}) {
    made["seconds_in_state"][std::string(pm::name_of(state))] =
        host.in_state[static_cast<std::size_t>(state)].raw / seconds(1).raw;
  }
  for (const MemoryHost::GuestSummary& guest : host.guests) made["guests"].push_back(json_of(guest));
  for (const Violation& one : host.violations)
    made["violations"].push_back({{"seconds", one.when.raw / seconds(1).raw}, {"what", one.what}});
  return made;
}

Result<void> write_file(const std::string& path, const std::string& text) {
  os::File file = TRY(os::File::open(path, os::Open::kCreate));
  TRY(file.resize({}));
  return file.write_at(0, std::as_bytes(std::span(text)));
}

Result<void> make_folder(const std::string& path) {
  std::error_code failure;
  std::filesystem::create_directories(path, failure);
  if (failure) return error("cannot make the folder '{}': {}; choose another", path, failure.message());
  return {};
}

Result<void> write_results(const std::string& folder, const Scenario& scenario, const MemoryResult& result) {
  TRY(make_folder(folder));
  std::string csv = csv_head();
  for (const Series& series : result.series) {
    csv += to_csv(series);
    const std::string title =
        fmt::format("Host {}, seed {}: {} of memory", series.host, result.seed, format_size(scenario.memory));
    TRY(write_file(fmt::format("{}/host-{}.svg", folder, series.host), to_svg(series, title)));
  }
  TRY(write_file(folder + "/series.csv", csv));
  return write_file(folder + "/summary.json", to_json(scenario, result));
}

void say(const Error& failure) { std::fprintf(stderr, "cloister-sim: %s\n", failure.message.c_str()); }

}  // namespace

u64 MemoryResult::violations() const {
  u64 count = 0;
  for (const MemoryHost::Summary& host : hosts) count += host.violation_count;
  return count;
}

MemoryResult simulate(const Scenario& scenario, u32 plots) {
  MemoryResult result;
  result.seed = scenario.seed;
  Random seeds(scenario.seed);
  for (u32 number = 0; number < scenario.hosts; ++number) {
    MemoryHost host(scenario, number, seeds.next());
    Series* series = number < plots ? &result.series.emplace_back() : nullptr;
    Nanos next_record{};
    while (host.step()) {
      if (series == nullptr || host.now() < next_record) continue;
      host.record(*series);
      next_record += scenario.record;
    }
    result.hosts.push_back(host.summary());
  }
  return result;
}

std::string to_json(const Scenario& scenario, const MemoryResult& result) {
  nlohmann::json made = {{"seed", result.seed},
                         {"seconds", scenario.duration.raw / seconds(1).raw},
                         {"memory_bytes", scenario.memory.raw},
                         {"violation_count", result.violations()},
                         {"hosts", nlohmann::json::array()}};
  for (const MemoryHost::Summary& host : result.hosts) made["hosts"].push_back(json_of(host));
  return made.dump(1) + "\n";
}

std::string in_words(const Scenario& scenario, const MemoryResult& result) {
  std::string text = fmt::format("{:<20} {:>8} {:>8} {:>12} {:>12} {:>8}\n", "vm", "starts", "refused",
                                 "held, MiB", "taken, MiB", "speed");
  const std::vector<Kind> found = kinds(scenario, result);
  for (std::size_t i = 0; i < found.size(); ++i) {
    const Kind& kind = found[i];
    text += fmt::format("{:<20} {:>8} {:>8} {:>12} {:>12} {:>6}.{} %\n", scenario.guests[i].name, kind.starts,
                        kind.refusals, kind.mean_held() / 256, kind.taken / 256, kind.speed().raw / 10'000,
                        kind.speed().raw / 1'000 % 10);
  }
  for (std::size_t i = 0; i < result.hosts.size(); ++i) {
    for (const Violation& one : result.hosts[i].violations)
      text += fmt::format("host {} at {}: {}\n", i, clock_time(one.when), one.what);
  }
  text += fmt::format("seed {}: {} hosts, {} each, {} violations\n", result.seed, result.hosts.size(),
                      format_duration(scenario.duration), result.violations());
  return text;
}

ExitStatus run_memory(const MemoryRequest& request) {
  auto scenario = read_scenario_file(request.scenario);
  if (!scenario.ok()) {
    say(scenario.failure());
    return kRefused;
  }
  scenario->seed = request.seed.value_or(scenario->seed);
  scenario->hosts = request.hosts.value_or(scenario->hosts);
  const MemoryResult result = simulate(*scenario, request.plots);
  std::fputs(in_words(*scenario, result).c_str(), stdout);
  if (!request.out.empty()) {
    const Result<void> written = write_results(request.out, *scenario, result);
    if (!written.ok()) {
      say(written.failure());
      return kFailed;
    }
  }
  return result.violations() == 0 ? kHeld : kViolated;
}

}  // namespace cloister::sim
