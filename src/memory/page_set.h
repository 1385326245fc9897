// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <utility>
#include <vector>

#include "base/units.h"

namespace cloister::memory {

// Pages to be forgotten: a sorted list, or all.
class PageSet {
 public:
  static PageSet all() {
    PageSet set;
    set.all_ = true;
    return set;
  }
  PageSet() = default;
  explicit PageSet(std::vector<Gpn> pages) : pages_(std::move(pages)) {
    std::sort(pages_.begin(), pages_.end());
  }

  bool is_all() const { return all_; }
  bool contains(Gpn page) const { return all_ || std::binary_search(pages_.begin(), pages_.end(), page); }

 private:
  bool all_ = false;
  std::vector<Gpn> pages_;
};

}  // namespace cloister::memory
