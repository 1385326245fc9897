// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <vector>

#include "base/random.h"
#include "base/units.h"
#include "memory/guest_memory.h"

namespace cloister::memory {

// What a VM really uses, without asking it: at the start of a period n of its pages are drawn uniformly at
// random over the whole configured size and every translation to them is dropped; a first touch by a hart or
// a device counts (Waldspurger, OSDI 2002, 5.3). One thread at a time, which is no hart's.
class ActivitySampler {
 public:
  ActivitySampler(GuestMemory& memory, u64 seed) : memory_(memory), random_(seed) {}

  struct Count {
    u32 sampled = 0;
    u32 touched = 0;
  };
  // Ends the period, tells what it found (nothing the first time), and begins the next with `n` pages. A page
  // may be drawn twice: then it counts twice, so the count is binomial.
  Count restart(u32 n);
  // What the unfinished period has found so far.
  Count so_far() const;

 private:
  GuestMemory& memory_;
  Random random_;
  std::vector<Gpn> sample_;
};

// The references from which a miss-ratio curve is made: those to the pages that the curve's maker chose by a
// hash, always the same ones (spatially hashed sampling: SHARDS, FAST 2015). Time goes in steps: all
// references between two calls of take() are as one. One thread at a time, which is no hart's.
class ReferenceSampler {
 public:
  // Whether the n-th page of the memory is watched. May come to exclude pages that it chose, never the
  // reverse: policy::memory::MissRatioSampler::samples() is such a one.
  using Chosen = std::function<bool(u64 n)>;

  ReferenceSampler(GuestMemory& memory, u64 seed, Chosen chosen);

  std::size_t sampled() const { return sample_.size(); }
  // Those of the watched pages that were touched since the last call, by number, in random order.
  std::vector<u64> take();

 private:
  GuestMemory& memory_;
  Random random_;
  const Chosen chosen_;
  std::vector<Gpn> sample_;
};

}  // namespace cloister::memory
