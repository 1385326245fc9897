// SPDX-License-Identifier: Apache-2.0
// What deciding costs: targets for many clients, one at a time and in pools.
//   ninja memory_policy_bench && bin/memory_policy_bench
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <vector>

#include "base/random.h"
#include "policy/memory/targets.h"

namespace cloister::policy::memory {
namespace {

struct Host {
  ClientTree tree;
  std::vector<Holding> holdings;
  Units total{};
};

Activity random_activity(Random& random) {
  Activity activity = Activity::of(Fraction::percent(static_cast<u32>(1 + random.below(60))));
  for (std::size_t j = 1; j < kAges; ++j) {
    const u32 last = activity.within[j - 1].raw;
    activity.within[j] = {last + static_cast<u32>(random.below(Fraction::kWhole - last + 1) / 4)};
  }
  return activity;
}

// Machines of 256 MiB to 4 GiB on a host with half of the memory that they are configured with.
Host make(TaxKind kind, u64 clients, u64 pools) {
  Random random(1);
  Host host{ClientTree({kind, Fraction::percent(75)}), {}, {}};
  std::vector<ClientId> parents;
  for (u64 i = 0; i < pools; ++i)
    parents.push_back(host.tree.add_pool(kRoot, fmt::format("pool-{}", i), {}).take());
  for (u64 i = 0; i < clients; ++i) {
    const Units size{(1 + random.below(16)) * 65'536};
    Settings settings;
    settings.min = {random.below(size.raw / 4)};
    const ClientId parent = parents.empty() ? kRoot : parents[i % parents.size()];
    const ClientId id = host.tree.add_client(parent, fmt::format("vm-{}", i), size, settings).take();
    host.holdings.push_back({id, {size.raw / 2}, random_activity(random)});
    host.total += Units{size.raw / 2};
  }
  return host;
}

void targets_for(benchmark::State& state, TaxKind kind, u64 pools) {
  const Host host = make(kind, static_cast<u64>(state.range(0)), pools);
  for (auto _ : state) benchmark::DoNotOptimize(targets(host.tree, host.total, host.holdings));
}
BENCHMARK_CAPTURE(targets_for, flat, TaxKind::kFlat, 0)->Arg(50)->Arg(10'000)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(targets_for, progressive, TaxKind::kProgressive, 0)
    ->Arg(10'000)
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(targets_for, by_time, TaxKind::kByTime, 0)->Arg(10'000)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(targets_for, pools_of_100, TaxKind::kFlat, 100)->Arg(10'000)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace cloister::policy::memory
