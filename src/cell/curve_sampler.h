// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cell/control.h"
#include "memory/guest_memory.h"
#include "memory/sampler.h"
#include "policy/memory/miss_ratio.h"

namespace cloister::cell {

// The miss-ratio curve of the guest (docs/sharing.md): some pages are watched, always the same ones, and
// looked at every few seconds. One thread at a time, which is no hart's.
class CurveSampler {
 public:
  // Watches about `samples` pages, and never more; 1 or more.
  CurveSampler(memory::GuestMemory& memory, u64 seed, u32 samples);

  u32 samples() const { return samples_; }
  // What was touched since the last look, a while ago. Bound on the cost: a shootdown for each 512 pages
  // watched.
  void look(Nanos since_last);
  // What is recent weighs more than what is older than this.
  void age() { curve_.age(); }
  // Nothing before the second look: the first tells when the pages were touched last, not how often.
  control::Curve curve() const;

 private:
  const u32 samples_;
  const u64 pages_;
  policy::memory::MissRatioSampler curve_;
  memory::ReferenceSampler references_;
  u64 looks_ = 0;
  u64 rate_ = 0;  // references to all pages in 1,000 seconds, averaged
};

}  // namespace cloister::cell
