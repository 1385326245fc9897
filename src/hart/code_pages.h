// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <vector>

#include "base/units.h"
#include "memory/page_set.h"

namespace cloister::hart {

// The pages that a hart has translations to for fetching, or had: whatever code it knows lies on one of
// them. A page that is none may be forgotten without a look at that code.
class CodePages {
 public:
  void add(Gpn page) {
    if (page.raw >= known_.size()) known_.resize(page.raw + 1);
    known_[page.raw] = true;
  }
  // Whether one of `pages` was among them; none of `pages` is any more.
  bool take(const memory::PageSet& pages) {
    bool found = pages.is_all();
    if (found) known_.clear();
    pages.for_each_run([&](u64 first, u64 end) {
      for (end = std::min<u64>(end, known_.size()); first < end; ++first) {
        found = found || known_[first];
        known_[first] = false;
      }
    });
    return found;
  }

 private:
  std::vector<bool> known_;  // by the page's number: as many as the highest that was fetched from
};

}  // namespace cloister::hart
