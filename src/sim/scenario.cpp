// SPDX-License-Identifier: Apache-2.0
#include "sim/scenario.h"

#include "base/size.h"

namespace cloister::sim {
namespace {

Result<void> add_guests(pm::ClientTree& tree, const GuestSpec& spec) {
  pm::ClientId parent = pm::kRoot;
  if (!spec.pool.empty()) {
    const auto found = tree.find(spec.pool);
    if (!found || tree.node(*found).kind != pm::NodeKind::kPool)
      return error("{}: there is no pool {}; define it, or leave `in` out", spec.name, spec.pool);
    parent = *found;
  }
  for (u32 i = 1; i <= spec.count; ++i) {
    const std::string name = spec.count == 1 ? spec.name : fmt::format("{}-{}", spec.name, i);
    TRY(tree.add_client(parent, name, spec.size, spec.settings));
  }
  if (spec.work.high > spec.size) {
    return error("{}: work goes up to {} and the size is {}; lower one or raise the other", spec.name,
                 format_size(bytes_of(pm::pages_of(spec.work.high))),
                 format_size(bytes_of(pm::pages_of(spec.size))));
  }
  return {};
}

}  // namespace

// All guests are put into one tree, as if none had stopped before another starts: so their names and settings
// are checked as the host will check them. Whether each is admitted is part of the simulation.
Result<void> check_scenario(const Scenario& scenario) {
  if (scenario.memory.raw / kPageSize < pm::Thresholds::kSmallestPool.raw) {
    return error("a memory of {} is too small; give a host at least {}", format_size(scenario.memory),
                 format_size(bytes_of(pm::Thresholds::kSmallestPool)));
  }
  if (scenario.guests.empty()) return error("there is no guest; add a [[vm]]");
  if (scenario.duration.raw / scenario.step.raw > 10'000'000)
    return error("over ten million steps; lower the duration or raise the step");
  pm::ClientTree tree(scenario.tax);
  for (const PoolSpec& pool : scenario.pools) {
    const auto parent = pool.parent.empty() ? pm::kRoot : tree.find(pool.parent);
    if (!parent) return error("{}: there is no pool {} before it; define it first", pool.name, pool.parent);
    TRY(tree.add_pool(*parent, pool.name, pool.settings));
  }
  for (const GuestSpec& guest : scenario.guests) TRY(add_guests(tree, guest));
  return {};
}

}  // namespace cloister::sim
