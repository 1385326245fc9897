// SPDX-License-Identifier: Apache-2.0
#include "jit/shelf.h"

namespace cloister::jit {

void Shelf::put(Entry product) {
  if (product->size() > most_) return;
  size_ += product->size();
  for (const x64::Image::Entry& way : product->image.entries) {
    Entry& best = entries_like(*product)[product->address_of(way.offset).raw];
    if (best == nullptr || best->tier <= product->tier) best = product;
  }
  entries_.push_back(std::move(product));
  shrink_to(most_);
}

void Shelf::shrink_to(Bytes size) {
  while (size_ > size) drop_first();
}

void Shelf::drop_first() {
  const Entry first = std::move(entries_.front());
  entries_.pop_front();
  size_ -= first->size();
  Entries& entries = entries_like(*first);
  for (const x64::Image::Entry& way : first->image.entries) {
    const auto found = entries.find(first->address_of(way.offset).raw);
    if (found != entries.end() && found->second == first) entries.erase(found);
  }
}

Shelf::Entry Shelf::find(GuestPhys address, Tier tier) const {
  const auto find_in = [address](const Entries& entries) {
    const auto found = entries.find(address.raw);
    return found == entries.end() ? nullptr : found->second;
  };
  if (tier == Tier::kWide) return find_in(wide_);
  const Entry best = find_in(by_address_);
  return best != nullptr && best->tier >= tier ? best : nullptr;
}

}  // namespace cloister::jit
