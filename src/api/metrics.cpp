// SPDX-License-Identifier: Apache-2.0
// One table of figures for each machine and one for the host, in Prometheus' text format.
#include "api/views.h"

namespace cloister::api {

using host::Host;
using host::Member;

namespace {

struct MachineFigure {
  const char* name;
  const char* type;
  const char* help;
  double (*value)(const Host& host, const Member& member);
};

double in_bytes(u64 pages) { return static_cast<double>(pages << kPageShift); }
const host::Ledger::Account& account(const Host& host, const Member& member) {
  return host.governor().ledger().account(member.account);
}

constexpr MachineFigure kMachineFigures[] = {
    {"cloister_domain_memory_configured_bytes", "gauge", "memory that the guest sees",
     [](const Host&, const Member& m) { return in_bytes(m.cell.order().size().raw); }},
    {"cloister_domain_memory_held_bytes", "gauge", "its allowance of host memory",
     [](const Host& h, const Member& m) { return in_bytes(account(h, m).held.raw); }},
    {"cloister_domain_memory_used_bytes", "gauge", "frames behind its pages, as its cell reports",
     [](const Host&, const Member& m) { return in_bytes(m.report.used_pages); }},
    {"cloister_domain_memory_overhead_bytes", "gauge", "what its cell takes for itself, by the host's kernel",
     [](const Host& h, const Member& m) { return in_bytes(account(h, m).overhead.raw); }},
    {"cloister_domain_memory_target_bytes", "gauge", "what it should hold",
     [](const Host&, const Member& m) { return in_bytes(m.decision.target.raw); }},
    {"cloister_domain_memory_active_bytes", "gauge", "what it uses, estimated by sampling",
     [](const Host&, const Member& m) { return in_bytes(m.decision.active.raw); }},
    {"cloister_domain_memory_swapped_bytes", "gauge", "in its swap file",
     [](const Host&, const Member& m) { return in_bytes(m.report.swapped_pages); }},
    {"cloister_domain_memory_compressed_bytes", "gauge", "compressed, before it was",
     [](const Host&, const Member& m) { return in_bytes(m.report.compressed_pages); }},
    {"cloister_domain_memory_shared_bytes", "gauge", "mapped from the vault of its trust group",
     [](const Host&, const Member& m) { return in_bytes(m.report.shared_pages); }},
    {"cloister_domain_memory_paged_in_bytes_total", "counter", "brought back from compression or swap",
     [](const Host&, const Member& m) { return in_bytes(m.report.pages_in); }},
    {"cloister_domain_memory_paged_out_bytes_total", "counter", "compressed or swapped",
     [](const Host&, const Member& m) { return in_bytes(m.report.pages_out); }},
    {"cloister_domain_memory_balloon_bytes", "gauge", "given up by balloon applications of its guest",
     [](const Host&, const Member& m) { return in_bytes(m.report.balloon_pages); }},
    {"cloister_domain_memory_balloon_target_bytes", "gauge", "what they are asked to hold",
     [](const Host&, const Member& m) { return in_bytes(m.report.balloon_target_pages); }},
    {"cloister_domain_memory_balloon_applications", "gauge", "how many there are",
     [](const Host&, const Member& m) { return static_cast<double>(m.report.applications); }},
    {"cloister_domain_memory_balloon_paged_out_bytes_total", "counter",
     "of the balloon, written by its guest to its own disks",
     [](const Host&, const Member& m) { return in_bytes(m.report.balloon_written_pages); }},
    {"cloister_domain_memory_balloon_elided_bytes_total", "counter", "of those, that took no space there",
     [](const Host&, const Member& m) { return in_bytes(m.report.balloon_elided_pages); }},
    {"cloister_domain_memory_level", "gauge", "what its guest is told: 0 ample, 1 soft, 2 hard, 3 critical",
     [](const Host&, const Member& m) { return static_cast<double>(m.report.level); }},
    {"cloister_domain_memory_pressure_ratio", "gauge", "its guest's own memory pressure, as its agent says",
     [](const Host&, const Member& m) { return m.report.pressure / 10000.0; }},
    {"cloister_domain_run_seconds_total", "counter", "time in guest code, all harts together",
     [](const Host&, const Member& m) { return static_cast<double>(m.report.run_nanos) / 1e9; }},
};

struct HostFigure {
  const char* name;
  const char* help;
  double (*value)(const Host& host);
};
constexpr HostFigure kHostFigures[] = {
    {"cloister_host_memory_pool_bytes", "the pool",
     [](const Host& h) { return in_bytes(h.governor().ledger().pool().raw); }},
    {"cloister_host_memory_free_bytes", "of the pool, held by nobody",
     [](const Host& h) { return in_bytes(h.governor().ledger().free().raw); }},
    {"cloister_host_memory_held_bytes", "of the pool, held by guests",
     [](const Host& h) { return in_bytes(h.governor().ledger().held().raw); }},
    {"cloister_host_memory_overhead_bytes", "of the pool, taken by cells",
     [](const Host& h) { return in_bytes(h.governor().ledger().overhead().raw); }},
    {"cloister_host_state", "0 high, 1 soft, 2 hard, 3 low",
     [](const Host& h) { return static_cast<double>(h.governor().state()); }},
    {"cloister_host_domains", "machines that run",
     [](const Host& h) { return static_cast<double>(h.governor().members()); }},
};

void add_head(std::string& text, const char* name, const char* help, const char* type) {
  text += fmt::format("# HELP {} {}\n# TYPE {} {}\n", name, help, name, type);
}

}  // namespace

std::string metrics_of(const Host& host) {
  std::string text;
  for (const HostFigure& figure : kHostFigures) {
    add_head(text, figure.name, figure.help, "gauge");
    text += fmt::format("{} {}\n", figure.name, figure.value(host));
  }
  for (const MachineFigure& figure : kMachineFigures) {
    add_head(text, figure.name, figure.help, figure.type);
    for (const host::Cell* cell : host.machines()) {
      const Member* member = host.governor().find(*cell);
      if (member == nullptr) continue;
      text += fmt::format("{}{{domain=\"{}\"}} {}\n", figure.name, cell->name(), figure.value(host, *member));
    }
  }
  return text;
}

}  // namespace cloister::api
