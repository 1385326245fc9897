// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <span>

#include "jit/passes/passes.h"

namespace cloister::jit::passes {

namespace {

using Uses = std::array<u64, 64>;

void count(std::span<const ir::Step> steps, u64 weight, Uses& uses) {
  for (const ir::Step& step : steps) {
    if (step.dead) continue;
    const Effects effect = effects(step);
    for (u32 reg = 1; reg < 64; ++reg) {
      uses[reg] += weight * ((effect.reads >> reg & 1) + (effect.writes >> reg & 1));
    }
  }
}

Ranking ranking_by(const Uses& uses) {
  Ranking ranking;
  for (u8 reg = 1; reg < 64; ++reg) {
    if (uses[reg] != 0) (reg < 32 ? ranking.integers : ranking.floats).push_back(reg);
  }
  const auto more_used = [&](u8 a, u8 b) { return uses[a] > uses[b]; };
  std::stable_sort(ranking.integers.begin(), ranking.integers.end(), more_used);
  std::stable_sort(ranking.floats.begin(), ranking.floats.end(), more_used);
  return ranking;
}

}  // namespace

Ranking rank_registers(const ir::Region& region) {
  Uses uses{};
  for (const ir::Block& block : region.blocks) count(block.steps, block.weight, uses);
  return ranking_by(uses);
}

Ranking rank_registers(const ir::Region& region, const ir::Loop& loop) {
  Uses uses{};
  for (const u32 index : loop.blocks) count(region.blocks[index].steps, 1, uses);
  for (const ir::Aside& aside : loop.asides) count(ir::steps_of(region, aside), 1, uses);
  return ranking_by(uses);
}

}  // namespace cloister::jit::passes
