// SPDX-License-Identifier: Apache-2.0
#include "cell/curve_sampler.h"

#include <algorithm>

namespace cloister::cell {
namespace {

using policy::memory::MissRatioSampler;
using policy::memory::MissRatioSettings;

// Watched pages are chosen by a hash, so their number is near `samples`, not exact: an eighth less is aimed
// at, for when there are more the rate falls for good.
MissRatioSettings settings_for(u64 pages, u64 seed, u32 samples) {
  MissRatioSettings settings;
  settings.seed = seed;
  settings.most_samples = samples;
  settings.bucket = {std::max<u64>(pages / control::kBuckets, 1)};
  const u64 rate = u64{MissRatioSampler::kModulus} * samples * 7 / 8 / pages;
  settings.first_rate = static_cast<u32>(std::clamp<u64>(rate, 1, MissRatioSampler::kModulus));
  return settings;
}

}  // namespace

CurveSampler::CurveSampler(memory::GuestMemory& memory, u64 seed, u32 samples)
    : samples_(samples),
      pages_(memory.size().raw >> kPageShift),
      curve_(settings_for(pages_, seed, samples)),
      references_(memory, seed, [this](u64 n) { return curve_.samples(n); }) {}

void CurveSampler::look(Nanos since_last) {
  const auto touched = references_.take();
  for (const u64 page : touched) curve_.reference(page);
  if (looks_++ == 0 || since_last.raw == 0) return;
  const u128 all = u128{touched.size()} * MissRatioSampler::kModulus / curve_.rate();
  const u64 now = static_cast<u64>(all * 1'000'000'000'000 / since_last.raw);
  rate_ = looks_ == 2 ? now : rate_ - rate_ / 8 + now / 8;
}

control::Curve CurveSampler::curve() const {
  control::Curve told;
  if (looks_ < 2) return told;
  const auto curve = curve_.curve();
  told.references = rate_;
  for (std::size_t i = 0; i < control::kBuckets; ++i) {
    told.misses[i] = curve.at({pages_ * (i + 1) / control::kBuckets}).raw;
  }
  return told;
}

}  // namespace cloister::cell
