// SPDX-License-Identifier: Apache-2.0
#include "memory/sampler.h"

#include <algorithm>
#include <utility>

namespace cloister::memory {
namespace {

Gpn nth_page(const GuestMemory& memory, u64 n) { return {memory.base().page() + n}; }
u64 page_count(const GuestMemory& memory) { return memory.size().raw >> kPageShift; }

}  // namespace

ActivitySampler::Count ActivitySampler::restart(u32 n) {
  const Count ended = so_far();
  sample_.clear();
  for (u32 i = 0; i < n; ++i) sample_.push_back(nth_page(memory_, random_.below(page_count(memory_))));
  memory_.take_touched(sample_);
  return ended;
}

ActivitySampler::Count ActivitySampler::so_far() const {
  Count count{static_cast<u32>(sample_.size()), 0};
  for (const Gpn page : sample_) count.touched += memory_.has_marks(page, PageWord::kTouched) ? 1 : 0;
  return count;
}

ReferenceSampler::ReferenceSampler(GuestMemory& memory, u64 seed, Chosen chosen)
    : memory_(memory), random_(seed), chosen_(std::move(chosen)) {
  for (u64 n = 0; n < page_count(memory); ++n) {
    if (chosen_(n)) sample_.push_back(nth_page(memory, n));
  }
}

std::vector<u64> ReferenceSampler::take() {
  const u64 first = memory_.base().page();
  std::erase_if(sample_, [&](Gpn page) { return !chosen_(page.raw - first); });
  std::vector<u64> touched;
  for (std::span<const Gpn> rest = sample_; !rest.empty();) {
    const auto some = rest.first(std::min(rest.size(), PageTable::kBatch));
    const std::vector<bool> marks = memory_.take_marks(some, PageWord::kTraced);
    for (std::size_t i = 0; i < some.size(); ++i) {
      if (marks[i]) touched.push_back(some[i].raw - first);
    }
    rest = rest.subspan(some.size());
  }
  for (std::size_t i = touched.size(); i > 1; --i) std::swap(touched[i - 1], touched[random_.below(i)]);
  return touched;
}

}  // namespace cloister::memory
