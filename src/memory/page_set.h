// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <iterator>
#include <utility>
#include <vector>

#include "base/units.h"

namespace cloister::memory {

// Pages to be forgotten: all, or some, as runs of neighbours: whoever gives up memory names it so, and a hart
// asks for each of its translations.
class PageSet {
 public:
  static PageSet all() {
    PageSet set;
    set.all_ = true;
    return set;
  }
  PageSet() = default;
  explicit PageSet(std::vector<Gpn> pages) {
    std::sort(pages.begin(), pages.end());
    for (const Gpn page : pages) {
      if (runs_.empty() || page.raw > runs_.back().end) runs_.push_back({page.raw, page.raw});
      runs_.back().end = page.raw + 1;
    }
  }

  bool is_all() const { return all_; }
  bool contains(Gpn page) const {
    if (all_) return true;
    if (runs_.empty() || page.raw < runs_.front().first || page.raw >= runs_.back().end) return false;
    const auto next = std::upper_bound(runs_.begin(), runs_.end(), page.raw,
                                       [](u64 wanted, const Run& run) { return wanted < run.first; });
    return page.raw < std::prev(next)->end;
  }
  // Of a set that is not all: use(first, end) for each, in order.
  template <typename Use>
  void for_each_run(Use use) const {
    for (const Run& run : runs_) use(run.first, run.end);
  }

 private:
  struct Run {
    u64 first, end;
  };
  bool all_ = false;
  std::vector<Run> runs_;  // in order, with a gap between two
};

}  // namespace cloister::memory
