// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <memory>
#include <unordered_map>

#include "base/units.h"
#include "jit/order.h"

namespace cloister::jit {

// What was made for one hart of a machine and may serve the others. Not thread safe.
class Shelf {
 public:
  using Entry = std::shared_ptr<const Product>;

  // Bound: so many bytes; then what was made first goes.
  explicit Shelf(Bytes most) : most_(most) {}

  void put(Entry product);
  Bytes size() const { return size_; }
  // What was made first goes until at most so many bytes are left.
  void shrink_to(Bytes size);
  // What was made for `address`, or for a block near with a way in there, of `tier` or a better one; of
  // several pages only when such a one is wanted. nullptr: nothing was. Whether it is of what stands in its
  // pages now is left to the caller.
  Entry find(GuestPhys address, Tier tier) const;

 private:
  using Entries = std::unordered_map<u64, Entry>;

  void drop_first();
  Entries& entries_like(const Product& product) { return product.tier == Tier::kWide ? wide_ : by_address_; }

  const Bytes most_;
  Bytes size_;
  std::deque<Entry> entries_;  // in the order of making
  Entries by_address_;         // of a way in: the best of one page,
  Entries wide_;               // and of several
};

}  // namespace cloister::jit
