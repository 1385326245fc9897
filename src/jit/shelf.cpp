// SPDX-License-Identifier: Apache-2.0
#include "jit/shelf.h"

namespace cloister::jit {

void Shelf::put(Entry product) {
  if (product->size() > most_) return;
  std::vector<Entry> gone;
  const MutexLock lock(mutex_);
  size_ += product->size();
  for (const x64::Image::Entry& way : product->image.entries) {
    Entry& best = entries_like(*product)[product->address_of(way.offset).raw];
    if (best == nullptr || best->tier <= product->tier) best = product;
  }
  entries_.push_back(std::move(product));
  gone = drop_until(most_);
}

Bytes Shelf::size() const {
  const MutexLock lock(mutex_);
  return size_;
}

void Shelf::shrink_to(Bytes size) {
  std::vector<Entry> gone;
  const MutexLock lock(mutex_);
  gone = drop_until(size);
}

std::vector<Shelf::Entry> Shelf::drop_until(Bytes size) {
  std::vector<Entry> gone;
  while (size_ > size) {
    const Entry& first = gone.emplace_back(std::move(entries_.front()));
    entries_.pop_front();
    size_ -= first->size();
    Entries& entries = entries_like(*first);
    for (const x64::Image::Entry& way : first->image.entries) {
      const auto found = entries.find(first->address_of(way.offset).raw);
      if (found != entries.end() && found->second == first) entries.erase(found);
    }
  }
  return gone;
}

Shelf::Entry Shelf::find(GuestPhys address, Tier tier) const {
  const auto find_in = [address](const Entries& entries) {
    const auto found = entries.find(address.raw);
    return found == entries.end() ? nullptr : found->second;
  };
  const MutexLock lock(mutex_);
  if (tier == Tier::kWide) return find_in(wide_);
  const Entry best = find_in(by_address_);
  return best != nullptr && best->tier >= tier ? best : nullptr;
}

}  // namespace cloister::jit
