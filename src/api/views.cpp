// SPDX-License-Identifier: Apache-2.0
#include "api/views.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "policy/memory/condition.h"
#include "policy/memory/explain.h"

namespace cloister::api {

using host::Cell;
using host::Host;
using host::Member;
using nlohmann::json;
using policy::memory::Fraction;

namespace {

u64 bytes(u64 pages) { return pages << kPageShift; }
u64 bytes(Pages pages) { return bytes(pages.raw); }
u64 bytes(policy::memory::Units units) { return bytes(units.raw); }
double part(Fraction fraction) { return static_cast<double>(fraction.raw) / Fraction::kWhole; }
double seconds(Nanos time) { return static_cast<double>(time.raw) / 1e9; }

json by_way(const Member& member) {
  json ways = json::object();
  for (std::size_t i = 0; i < cell::control::kWays; ++i) {
    ways[std::string(name_of(static_cast<policy::memory::Way>(i)))] = bytes(member.taken_by_way[i]);
  }
  return ways;
}

json activity_of(const Member& member) {
  const auto& estimator = member.estimator;
  return {{"estimate", part(estimator.estimate())}, {"slow", part(estimator.slow())},
          {"fast", part(estimator.fast())},         {"running", part(estimator.running())},
          {"error", part(estimator.error())},       {"periods", estimator.periods()},
          {"samples", estimator.settings().samples}};
}

json balloon_of(const cell::control::Report& report) {
  return {{"pages", bytes(report.balloon_pages)},           {"target", bytes(report.balloon_target_pages)},
          {"told", bytes(report.balloon_told_pages)},       {"applications", report.applications},
          {"pressure", report.pressure / 10000.0},          {"yields", report.yields != 0},
          {"written", bytes(report.balloon_written_pages)}, {"elided", bytes(report.balloon_elided_pages)},
          {"page_out_rate", bytes(report.page_out_rate)}};
}

// Those that the guest's kernel told.
json guest_figures_of(const cell::control::Report& report) {
  constexpr const char* kNames[] = {
      "swapped_in", "swapped_out", "major_faults", "minor_faults", "free",
      "total",      "available",   "caches",       "huge_pages",   "huge_pages_failed"};
  static_assert(std::size(kNames) == cell::control::kGuestFigures);
  json figures = json::object();
  for (std::size_t i = 0; i < cell::control::kGuestFigures; ++i) {
    if ((report.told >> i & 1) != 0) figures[kNames[i]] = report.figures[i];
  }
  return figures;
}

json curve_of(const Member& member) {
  json points = json::array();
  for (const auto& point : member.worth.curve.points) {
    points.push_back({{"size", bytes(point.size)}, {"misses", part(point.misses)}});
  }
  return {{"references_per_second", member.worth.references_per_second}, {"points", points}};
}

json memory_of(const Host& host, const Member& member) {
  const auto& account = host.governor().ledger().account(member.account);
  const auto& report = member.report;
  return {{"held", bytes(account.held)},
          {"used", bytes(report.used_pages)},
          {"overhead", bytes(account.overhead)},
          {"target", bytes(member.decision.target)},
          {"active", bytes(member.decision.active)},
          {"zero", bytes(report.zero_pages)},
          {"shared", bytes(report.shared_pages)},
          {"compressed", bytes(report.compressed_pages)},
          {"compressed_size", report.compressed_bytes},
          {"swapped", bytes(report.swapped_pages)},
          {"paged_in", bytes(report.pages_in)},
          {"paged_out", bytes(report.pages_out)},
          {"given_free", bytes(report.reported_free_pages)},
          {"guest", guest_figures_of(report)},
          {"balloon", balloon_of(report)},
          {"level",
           policy::memory::name_of(static_cast<policy::memory::ConditionLevel>(std::min(report.level, 3u)))},
          {"wanted", bytes(member.want)},
          {"taken", by_way(member)},
          {"activity", activity_of(member)},
          {"curve", curve_of(member)},
          {"reason", policy::memory::reason_in_short(member.decision)},
          {"standing_still", member.still},
          {"silent", member.silent},
          {"lies", member.lies},
          {"orders_not_met", member.broken}};
}

json terms_of(const host::MemoryTerms& terms, policy::memory::Units size) {
  return {{"configured", bytes(size)},
          {"min", bytes(terms.policy.min)},
          {"limit", bytes(terms.policy.limit.value_or(size))},
          {"shares", policy::memory::format_shares(terms.policy.shares)},
          {"trust_group", terms.trust_group}};
}

// Where programs of the host reach the guest's vsock ports.
std::string vsock_of(const Host& host, const Cell& cell) {
  const std::string& own = cell.order().machine.vsock;
  if (own.empty()) return host.records().vsock_path(cell.name());
  return std::filesystem::path(cell.order().folder) / own;
}

}  // namespace

json view_of(const Host& host, const Cell& cell) {
  json memory = terms_of(cell.order().terms, cell.order().size());
  json view = {{"name", cell.name()},
               {"state", name_of(cell.state())},
               {"cpus", cell.order().machine.cpus},
               {"ended", host.last_end(cell.name())},
               {"console", host.records().console_path(cell.name())},
               {"vsock", vsock_of(host, cell)},
               {"order", json_of(cell.order())}};
  if (cell.has_process()) view["process"] = cell.process()->id().number;
  if (const Member* member = host.governor().find(cell)) {
    memory.update(memory_of(host, *member));
    view["run_seconds"] = seconds(Nanos{member->report.run_nanos});
  }
  view["memory"] = memory;
  return view;
}

json view_of(const Host& host) {
  const auto& governor = host.governor();
  const auto& ledger = governor.ledger();
  const auto room = governor.room();
  json settings = json::object();
  for (const host::SettingOption& option : host::setting_options())
    settings[option.name] = option.get(host.settings());
  return {{"state", name_of(governor.state())},
          {"machines", host.machines().size()},
          {"running", governor.members()},
          {"memory",
           {{"pool", bytes(ledger.pool())},
            {"free", bytes(ledger.free())},
            {"held", bytes(ledger.held())},
            {"overhead", bytes(ledger.overhead())},
            {"debt", bytes(ledger.debt())},
            {"vaults", bytes(governor.vault_frames())},
            {"shared", bytes(host.sharing().references())},
            {"goal", bytes(governor.goal())},
            {"high", bytes(governor.thresholds().high)},
            {"soft", bytes(governor.thresholds().soft)},
            {"hard", bytes(governor.thresholds().hard)},
            {"low", bytes(governor.thresholds().low)},
            {"swap", room.swap.raw},
            {"swap_set_aside", room.swap_taken.raw}}},
          {"settings", settings}};
}

json view_of(const host::Event& event) {
  constexpr const char* kLevels[] = {"debug", "info", "warning", "error"};
  return {{"id", event.id},
          {"time", seconds(event.time)},
          {"level", kLevels[static_cast<int>(event.level)]},
          {"machine", event.machine},
          {"kind", event.kind},
          {"text", event.text}};
}

json view_of(const policy::memory::Verdict& verdict) {
  return {{"admitted", verdict.admitted},
          {"reason", verdict.reason},
          {"memory",
           {{"needed", verdict.memory_needed.raw},
            {"free", verdict.memory_free.raw},
            {"shortfall", verdict.memory_shortfall.raw}}},
          {"swap",
           {{"needed", verdict.swap_needed.raw},
            {"free", verdict.swap_free.raw},
            {"shortfall", verdict.swap_shortfall.raw}}}};
}

}  // namespace cloister::api
