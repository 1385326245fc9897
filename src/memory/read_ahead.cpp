// SPDX-License-Identifier: Apache-2.0
#include "memory/read_ahead.h"

#include <algorithm>
#include <utility>

namespace cloister::memory {

bool ReadAhead::is_worth_while(Gpn page) {
  const MutexLock lock(mutex_);
  const u64 last = std::exchange(last_, page.raw);
  if (page.raw + PageTable::kCluster - last <= 2 * PageTable::kCluster) return true;
  if (used_ >= kWhole / kWorthWhile) return true;
  if (++reads_ < kBetweenTrials) return false;
  reads_ = 0;
  return true;
}

void ReadAhead::note(Gpn first, Pages count, Nanos now) {
  const MutexLock lock(mutex_);
  for (; waiting_ > 0 && now >= samples_[oldest_].came + kUntilJudged; --waiting_) {
    judge(samples_[oldest_]);
    oldest_ = (oldest_ + 1) % kSamples;
  }
  if (count.raw > 1 && waiting_ < kSamples) samples_[(oldest_ + waiting_++) % kSamples] = {first, count, now};
}

// What has been taken away again has no marks. One of them was wanted.
void ReadAhead::judge(const Sample& sample) {
  u64 used = 0;
  for (u64 i = 0; i < sample.count.raw; ++i) {
    const PageWord word = table_.look({sample.first.raw + i});
    if (word.source() == Source::kOwnFrame && (word.raw & PageWord::kReadMarks) != 0) ++used;
  }
  const u64 others = sample.count.raw - 1;
  used_ = (3 * used_ + (used - std::min<u64>(used, 1)) * kWhole / others) / 4;
}

}  // namespace cloister::memory
