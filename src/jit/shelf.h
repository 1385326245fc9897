// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <memory>
#include <unordered_map>
#include <vector>

#include "base/lock.h"
#include "base/units.h"
#include "jit/order.h"

namespace cloister::jit {

// What was made for one hart of a machine and may serve the others. Any thread.
class Shelf {
 public:
  using Entry = std::shared_ptr<const Product>;

  // Bound: so many bytes; then what was made first goes.
  explicit Shelf(Bytes most) : most_(most) {}

  void put(Entry product);
  Bytes size() const;
  // What was made first goes until at most so many bytes are left.
  void shrink_to(Bytes size);
  // What was made for `address`, or for a block near with a way in there, of `tier` or a better one; of
  // several pages only when such a one is wanted. nullptr: nothing was. Whether it is of what stands in its
  // pages now is left to the caller.
  Entry find(GuestPhys address, Tier tier) const;

 private:
  using Entries = std::unordered_map<u64, Entry>;

  // What goes, for the caller to let go of without the lock.
  std::vector<Entry> drop_until(Bytes size) REQUIRES(mutex_);
  Entries& entries_like(const Product& product) REQUIRES(mutex_) {
    return product.tier == Tier::kWide ? wide_ : by_address_;
  }

  const Bytes most_;
  mutable Mutex mutex_{LockRank::kShelf};
  Bytes size_ GUARDED_BY(mutex_);
  std::deque<Entry> entries_ GUARDED_BY(mutex_);  // in the order of making
  Entries by_address_ GUARDED_BY(mutex_);         // of a way in: the best of one page,
  Entries wide_ GUARDED_BY(mutex_);               // and of several
};

}  // namespace cloister::jit
