// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>

#include "base/lock.h"
#include "base/units.h"
#include "memory/page_table.h"

namespace cloister::memory {

// Whether a page that is read back from the swap file brings those along that lie beside it there. Where
// swap is far away sixteen take as long as one, but whoever does not want them has frames taken from
// elsewhere for nothing. So it is tried now and then, and goes on while enough of what came along is used.
// Thread safe.
class ReadAhead {
 public:
  // Of what came along, a part that is used pays for the rest.
  static constexpr u64 kWorthWhile = 4;
  // While less was, it is tried once in so many reads.
  static constexpr u64 kBetweenTrials = 32;
  // Whoever wants a page that came along wants it by then.
  static constexpr Nanos kUntilJudged{250'000'000};

  explicit ReadAhead(const PageTable& table) : table_(table) {}

  // A page is to be read. Whoever goes along, from page to page, wants the next ones too.
  bool is_worth_while(Gpn page);
  // These came in one read, without marks but for one that was wanted.
  void note(Gpn first, Pages count, Nanos now);

 private:
  // Of the runs that came, some are looked at later. Bound: so many at a time.
  static constexpr std::size_t kSamples = 64;
  static constexpr u64 kWhole = 256;
  struct Sample {
    Gpn first;
    Pages count;
    Nanos came;
  };
  void judge(const Sample& sample) REQUIRES(mutex_);

  const PageTable& table_;
  Mutex mutex_{LockRank::kReadAhead};
  u64 last_ GUARDED_BY(mutex_) = 0;                          // page that was wanted
  u64 reads_ GUARDED_BY(mutex_) = 0;                         // since the last trial
  u64 used_ GUARDED_BY(mutex_) = 0;                          // of what came along of late, of kWhole
  std::array<Sample, kSamples> samples_ GUARDED_BY(mutex_);  // a ring
  std::size_t oldest_ GUARDED_BY(mutex_) = 0, waiting_ GUARDED_BY(mutex_) = 0;
};

}  // namespace cloister::memory
