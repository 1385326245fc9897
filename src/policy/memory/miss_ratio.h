// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

#include "policy/memory/tax.h"

// What the next or the last unit is worth to a client: misses against size, from sampled references.
// Source: Waldspurger, Park, Garthwaite, Ahmad, Efficient MRC Construction with SHARDS, FAST 2015.
namespace cloister::policy::memory {

// The misses that a client of so many units would have had, of all its references.
struct MissRatioCurve {
  struct Point {
    Units size;       // strictly rising
    Fraction misses;  // never rises with size
  };
  std::vector<Point> points;  // the first at size 0, where all miss
  u64 references = 0;         // counted (estimated from the samples)

  // Between points as at the lower one. Past the last as at the last.
  Fraction at(Units size) const;
};

struct MissRatioSettings {
  u64 seed = 0;             // of the hash: which units are sampled
  u32 most_samples = 8192;  // units watched at once: Bound on memory and time; when more come the rate falls
  Units bucket{256};        // resolution of the curve
  u32 first_rate = 0x4'0000;  // of 2^24: at first one unit in 64 is sampled
};

// Feed it references; it keeps those whose unit's hash is below a threshold, the same units each time, and
// measures at each how many other units were referenced since the last reference to it. Not thread safe.
class MissRatioSampler {
 public:
  static constexpr u32 kModulus = u32{1} << 24;

  explicit MissRatioSampler(MissRatioSettings settings = {});

  // Whether references to this unit count now: the caller may then watch just these.
  bool samples(u64 unit) const { return hash(unit) < threshold_; }
  // Units below this hash are sampled, of kModulus. Falls, and never rises.
  u32 rate() const { return threshold_; }
  // A reference, in the order of time; those that are not sampled are left out.
  void reference(u64 unit);
  // Half of what was learnt so far counts no more: what is recent weighs more.
  void age();
  MissRatioCurve curve() const;

 private:
  struct Last {
    u64 when;
    u32 hash;
  };

  u32 hash(u64 unit) const;
  void count(u64 distance);
  u64 newer_than(u64 when) const;
  void mark(u64 when, i64 change);
  void compact();
  void drop_highest();

  MissRatioSettings settings_;
  u32 threshold_;
  u64 now_ = 0;                            // of the sampled references, since the last compaction
  std::unordered_map<u64, Last> last_;     // of each sampled unit
  std::set<std::pair<u32, u64>> by_hash_;  // hash and unit: the highest is dropped first
  std::vector<i64> marks_;                 // a Fenwick tree over time: 1 where some unit was last referenced
  std::vector<u64> histogram_;             // weights of references by bucket of distance
  u64 cold_ = 0;                           // weight of first references
};

}  // namespace cloister::policy::memory
