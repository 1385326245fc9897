// SPDX-License-Identifier: Apache-2.0
#include "policy/memory/miss_ratio.h"

#include <algorithm>
#include <numeric>

// Spatially hashed sampling, with a bound on what is watched.
//
// A unit is sampled when its hash is below a threshold T out of a modulus P, so all references to it are seen
// or none: reuse distances among the sampled units, divided by R = T / P, estimate the true ones, and each
// sampled reference stands for 1 / R references. When more units than the bound are sampled, those of the
// highest hash are dropped and T falls to it; what was counted keeps the weight it had.
//
// The distance of a reference is the number of units referenced since the last one to the same unit: a
// Fenwick tree over time has a 1 where a unit was last referenced, so it is a sum in logarithmic time. When
// time reaches the tree's end, the units are numbered anew in their order.
namespace cloister::policy::memory {
namespace {

constexpr u32 kWeightShift = 8;  // of a reference's weight, so that 1 / R is fine enough

// The finalizer of splitmix64: every bit of the unit's number reaches every bit of the hash.
u64 mix(u64 z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

}  // namespace

Fraction MissRatioCurve::at(Units size) const {
  Fraction misses = Fraction::whole();
  for (const Point& point : points) {
    if (point.size > size) break;
    misses = point.misses;
  }
  return misses;
}

MissRatioSampler::MissRatioSampler(MissRatioSettings settings)
    : settings_(settings), threshold_(settings.first_rate) {
  CHECK(settings.most_samples > 0 && settings.bucket.raw > 0);
  CHECK(settings.first_rate > 0 && settings.first_rate <= kModulus);
  marks_.resize(std::size_t{4} * settings.most_samples + 1);
}

u32 MissRatioSampler::hash(u64 unit) const {
  return static_cast<u32>(mix(unit + settings_.seed * 0x9e3779b97f4a7c15 + 1) >> 40);
}

void MissRatioSampler::reference(u64 unit) {
  const u32 hashed = hash(unit);
  if (hashed >= threshold_) return;
  if (now_ + 1 == marks_.size()) compact();
  const auto known = last_.find(unit);
  if (known == last_.end()) {
    cold_ += (u64{kModulus} << kWeightShift) / threshold_;
    by_hash_.emplace(hashed, unit);
  } else {
    count(newer_than(known->second.when));
    mark(known->second.when, -1);
  }
  last_[unit] = {++now_, hashed};
  mark(now_, 1);
  if (last_.size() > settings_.most_samples) drop_highest();
}

void MissRatioSampler::count(u64 distance) {
  const u64 true_distance = static_cast<u64>(u128{distance} * kModulus / threshold_);
  const u64 bucket = true_distance / settings_.bucket.raw;
  if (bucket >= histogram_.size()) histogram_.resize(bucket + 1);
  histogram_[bucket] += (u64{kModulus} << kWeightShift) / threshold_;
}

u64 MissRatioSampler::newer_than(u64 when) const {
  i64 older = 0;
  for (u64 i = when; i > 0; i -= i & (~i + 1)) older += marks_[i];
  return last_.size() - static_cast<u64>(older);
}

void MissRatioSampler::mark(u64 when, i64 change) {
  for (u64 i = when; i < marks_.size(); i += i & (~i + 1)) marks_[i] += change;
}

void MissRatioSampler::compact() {
  std::vector<std::pair<u64, u64>> order;  // when, unit
  for (const auto& [unit, last] : last_) order.emplace_back(last.when, unit);
  std::sort(order.begin(), order.end());
  std::fill(marks_.begin(), marks_.end(), 0);
  now_ = 0;
  for (const auto& [when, unit] : order) {
    last_[unit].when = ++now_;
    mark(now_, 1);
  }
}

void MissRatioSampler::drop_highest() {
  threshold_ = by_hash_.rbegin()->first;
  while (!by_hash_.empty() && by_hash_.rbegin()->first >= threshold_) {
    const u64 unit = by_hash_.rbegin()->second;
    mark(last_[unit].when, -1);
    last_.erase(unit);
    by_hash_.erase(std::prev(by_hash_.end()));
  }
  threshold_ = std::max<u32>(threshold_, 1);
}

void MissRatioSampler::age() {
  cold_ /= 2;
  for (u64& weight : histogram_) weight /= 2;
}

MissRatioCurve MissRatioSampler::curve() const {
  const u64 total = std::accumulate(histogram_.begin(), histogram_.end(), cold_);
  MissRatioCurve curve;
  curve.references = total >> kWeightShift;
  curve.points.push_back({Units{}, Fraction::whole()});
  u64 misses = total;
  for (std::size_t i = 0; i < histogram_.size(); ++i) {
    if (histogram_[i] == 0) continue;
    misses -= histogram_[i];
    curve.points.push_back({{(i + 1) * settings_.bucket.raw}, Fraction::ratio(misses, total)});
  }
  return curve;
}

}  // namespace cloister::policy::memory
